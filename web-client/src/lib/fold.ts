/** Long bodies are folded: only their first lines are shown until the reader asks for the rest. */

/** MAX_LINES is the number of lines of a body that are shown while it is folded. */
export const MAX_LINES = 25;

export interface Folded {
  /** The first lines of the body, or the whole body if it is short. */
  readonly body: string;
  /**
   * The number of lines of the whole body. Lines that only open or close a block of code don't
   * count.
   */
  readonly lines: number;
}

const FENCE = /^[ \t>]*(?:`{3,}|~{3,})[\w+#.-]*[ \t]*$/;

/** folded returns the first MAX_LINES lines of a body. */
export function folded(body: string): Folded {
  let lines = 0;
  let end = body.length;
  for (let at = 0; at <= body.length; ) {
    const next = body.indexOf("\n", at);
    const to = next < 0 ? body.length : next;
    if (!FENCE.test(body.slice(at, to))) {
      lines++;
      if (lines === MAX_LINES) {
        end = to;
      }
    }
    at = to + 1;
  }
  return { body: lines > MAX_LINES ? body.slice(0, end) : body, lines };
}
