/**
 * The names of emoji. Each list is a separate chunk, loaded when the emoji popover is first opened.
 */

import { type Emoji, parseEmoji, withWordsOf } from "../lib/emoji";
import type { Language } from "./index";

const english = async (): Promise<readonly Emoji[]> => parseEmoji((await import("./emoji-en.txt?raw")).default);

// In other languages, the search also finds the English names, because many people know only the
// English ones.
const loaders: Readonly<Record<Language, () => Promise<readonly Emoji[]>>> = {
  en: english,
  de: async () => {
    const [own, others] = await Promise.all([import("./emoji-de.txt?raw"), english()]);
    return withWordsOf(parseEmoji(own.default), others);
  },
};

const loaded = new Map<Language, readonly Emoji[]>();

/**
 * knownEmoji returns the emoji with their names in a language, or undefined until they are loaded.
 */
export const knownEmoji = (language: Language): readonly Emoji[] | undefined => loaded.get(language);

export async function loadEmoji(language: Language): Promise<readonly Emoji[]> {
  const list = loaded.get(language) ?? (await loaders[language]());
  loaded.set(language, list);
  return list;
}
