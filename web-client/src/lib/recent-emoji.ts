/** The list of recently used emoji. */

/**
 * bare removes the variation selectors from an emoji, because the server may add or remove them.
 */
export const bare = (emoji: string): string => emoji.trim().replace(/[\ufe0e\ufe0f]/g, "");

const MAX_RECENT = 12;

/** withRecent adds an emoji at the beginning of the list of recently used emoji. */
export const withRecent = (recent: readonly string[], emoji: string): readonly string[] =>
  [emoji, ...recent.filter((e) => bare(e) !== bare(emoji))].slice(0, MAX_RECENT);

/** withoutRecent returns the emoji that are not in the list of recently used emoji. */
export const withoutRecent = (recent: readonly string[], emoji: readonly string[]): readonly string[] => {
  const known = new Set(recent.map(bare));
  return emoji.filter((e) => !known.has(bare(e)));
};
