/** Detects messages that consist of only a few emoji, which are shown large. */

/** MAX_LARGE is the maximum number of emoji in a message that is shown large. */
const MAX_LARGE = 12;

// This regular expression is not a literal, because the build target does not include the v flag.
// Every browser that the page supports also supports the flag.
const ONLY_EMOJI = new RegExp(`^(?:\\s*\\p{RGI_Emoji}){1,${MAX_LARGE}}\\s*$`, "v");

/**
 * onlyEmoji reports whether a body consists of at most MAX_LARGE emoji, with or without white
 * space.
 */
export const onlyEmoji = (body: string): boolean => ONLY_EMOJI.test(body);
