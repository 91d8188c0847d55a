/**
 * Cuts text between grapheme clusters: what a reader sees as one character, such as an emoji of several code points, or a letter
 * with its accents, stays whole or goes.
 */

const segmenter = typeof Intl === "object" && "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : undefined;

/** The clusters of a text, one after the other. An old browser without Intl.Segmenter gets code points. */
function* clusters(text: string): Generator<string> {
  if (segmenter === undefined) {
    yield* text;
    return;
  }
  for (const { segment } of segmenter.segment(text)) {
    yield segment;
  }
}

/** The beginning of a text in at most length UTF-16 units, with an ellipsis in place of the rest. */
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

/** The first cluster of a text; empty for an empty text. */
export function firstCluster(text: string): string {
  for (const cluster of clusters(text)) {
    return cluster;
  }
  return "";
}
