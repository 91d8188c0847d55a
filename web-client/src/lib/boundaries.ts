/**
 * Distinguishes formatting marks (`*`, `_`, `~~`) from the same characters in ordinary text:
 * `2*3*4`, `*.go`, `a_b`, `f(*args)`. A mark must be at a word boundary: its outer side is next to
 * white space, a quote or punctuation, and its inner side is next to the text that it marks.
 */

import { isUnspaced } from "./mention";

/**
 * Role describes whether a run of formatting marks (such as `**`) may begin or end formatted text.
 */
export interface Role {
  readonly opens: boolean;
  readonly closes: boolean;
}

/**
 * Characters that are never next to the inner side of a formatting mark: white space, and the
 * slashes of C comments and paths.
 */
const OUTSIDE = /[\s/\\]/u;
const SPACE = /\s/u;
const OPENING = /[<\p{Ps}\p{Pi}]/u;
const CLOSING = /[>,.;:!?…،؛؟、。，．！？；：\p{Pe}\p{Pf}]/u;
/** Characters that may precede or follow a word: quotes, dashes, and some punctuation. */
const EITHER = /["'*_~`|\p{Pd}]/u;

/**
 * roleOf returns the role of the run of formatting marks between two positions. Scripts without
 * spaces have no visible word boundaries, so a mark may be next to any of their characters.
 */
export function roleOf(text: string, start: number, end: number): Role {
  const before = characterBefore(text, start);
  const after = characterAt(text, end);
  const opens = mayPrecede(before) && after !== "" && !OUTSIDE.test(after) && !CLOSING.test(after);
  const closes = mayFollow(after) && before !== "" && !OUTSIDE.test(before) && !OPENING.test(before);
  const ambiguous = opens && closes && !(isUnspaced(before) && isUnspaced(after));
  return { opens: opens && !ambiguous, closes: closes && !ambiguous };
}

const mayPrecede = (c: string): boolean => c === "" || SPACE.test(c) || OPENING.test(c) || EITHER.test(c) || isUnspaced(c);
const mayFollow = (c: string): boolean => c === "" || SPACE.test(c) || CLOSING.test(c) || EITHER.test(c) || isUnspaced(c);

function characterAt(text: string, at: number): string {
  const point = text.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}

const characterBefore = (text: string, at: number): string => Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? "";
