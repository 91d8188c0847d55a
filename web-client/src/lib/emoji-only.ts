/** Finds messages of a few emoji, which are shown large. */

/** MAX_LARGE is the highest number of emoji that are shown large. */
const MAX_LARGE = 12;

// This is not a literal, because the build target is older than the flag v. Every browser that the
// page supports has the flag.
const ONLY_EMOJI = new RegExp(`^(?:\\s*\\p{RGI_Emoji}){1,${MAX_LARGE}}\\s*$`, "v");

/** onlyEmoji reports whether a body is at most MAX_LARGE emoji, with or without white space. */
export const onlyEmoji = (body: string): boolean => ONLY_EMOJI.test(body);
