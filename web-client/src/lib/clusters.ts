/**
 * Cuts text between grapheme clusters, so that what a reader sees as one character (an emoji of
 * several code points, a letter with accents) is kept whole or removed whole.
 */

const segmenter = typeof Intl === "object" && "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : undefined;

/**
 * clusters yields the grapheme clusters of a string, or its code points in old browsers that lack
 * Intl.Segmenter.
 */
function* clusters(text: string): Generator<string> {
  if (segmenter === undefined) {
    yield* text;
    return;
  }
  for (const { segment } of segmenter.segment(text)) {
    yield segment;
  }
}

/**
 * clip shortens a string to at most `length` UTF-16 code units, and replaces the rest with an
 * ellipsis.
 */
export function clip(text: string, length: number): string {
  if (text.length <= length) {
    return text;
  }
  let end = 0;
  for (const cluster of clusters(text)) {
    if (end + cluster.length > length - 1) {
      break;
    }
    end += cluster.length;
  }
  return text.slice(0, end).trimEnd() + "…";
}

/** firstCluster returns the first cluster of a string, or an empty string if there is none. */
export function firstCluster(text: string): string {
  for (const cluster of clusters(text)) {
    return cluster;
  }
  return "";
}
