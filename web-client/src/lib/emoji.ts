/** Emoji with their names, and the search for them. */

import { bare } from "./recent-emoji";

export interface Emoji {
  readonly emoji: string;
  readonly name: string;
  /** The emoji's name and its other search words, both normalized by `plain`. */
  readonly plainName: string;
  readonly plainWords: string;
}

/**
 * parseEmoji reads a list with one emoji per line: the emoji, its name and its other search words,
 * separated by tabs.
 */
export function parseEmoji(list: string): readonly Emoji[] {
  return list
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("# "))
    .map((line) => {
      const [emoji = "", name = "", words = ""] = line.split("\t");
      return { emoji, name, plainName: plain(name), plainWords: plain(words) };
    });
}

/** withWordsOf adds the names and words of another language to the search words of the emoji. */
export function withWordsOf(list: readonly Emoji[], other: readonly Emoji[]): readonly Emoji[] {
  const others = new Map(other.map((e) => [e.emoji, e]));
  return list.map((e) => {
    const more = others.get(e.emoji);
    return more === undefined ? e : { ...e, plainWords: `${e.plainWords} ${more.plainName} ${more.plainWords}` };
  });
}

/**
 * plain normalizes a string for the search: it removes case, accents, and punctuation around words.
 */
function plain(text: string): string {
  return text
    .toLowerCase()
    .replaceAll("ß", "ss")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^\p{L}\p{N}+-]+/gu, " ")
    .trim();
}

const EMOJI = /\p{Extended_Pictographic}|\p{Regional_Indicator}|\u20e3/u;
// This regular expression is not a literal, because the build target does not include the v flag.
const ONE_EMOJI = new RegExp("^\\p{RGI_Emoji}$", "v");

/**
 * searchEmoji returns at most `max` matching emoji. An emoji matches if every word of the query is
 * the beginning of a word in its name or search words. Names that begin with the query come first,
 * followed by names that contain the whole query. If the query is itself an emoji, that emoji is
 * the result, whether or not it is in the list.
 */
export function searchEmoji(list: readonly Emoji[], query: string, max: number): readonly Emoji[] {
  const emoji = query.trim();
  const known = EMOJI.test(emoji) ? list.find((e) => bare(e.emoji) === bare(emoji)) : undefined;
  if (known !== undefined || ONE_EMOJI.test(emoji)) {
    return [known ?? { emoji, name: emoji, plainName: "", plainWords: "" }];
  }
  const wanted = plain(query);
  if (wanted === "") {
    return [];
  }
  const words = wanted.split(" ");
  const found: Emoji[][] = [[], [], [], []];
  for (const e of list) {
    found[rankOf(e, wanted, words)]?.push(e);
  }
  return found.flat().slice(0, max);
}

/**
 * rankOf returns the rank of an emoji in the results. 0 is the best rank, and -1 means that the
 * emoji does not match.
 */
function rankOf({ plainName, plainWords }: Emoji, wanted: string, words: readonly string[]): number {
  if (plainName === wanted) {
    return 0;
  }
  if (plainName.startsWith(wanted)) {
    return 1;
  }
  if (words.every((word) => begins(plainName, word))) {
    return 2;
  }
  return words.every((word) => begins(plainName, word) || begins(plainWords, word)) ? 3 : -1;
}

/** begins reports whether a word in the text begins with the given letters. */
const begins = (text: string, letters: string): boolean => ` ${text}`.includes(` ${letters}`);
