/**
 * The language of the page: the catalog of messages, and the locale for dates and numbers. English
 * is part of the page; every other catalog is loaded when it is chosen.
 */

import { signal } from "@preact/signals";

import { type Catalogue, en } from "./en";
import { localeFor, preferred, primary } from "./locale";

/** The name of each language, written in the language itself. */
export const languages = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof languages;
/** The user's choice of language; `browser` means the language in the browser's settings. */
export type LanguageChoice = Language | "browser";

const loaders: Readonly<Record<Language, () => Promise<Catalogue>>> = {
  en: () => Promise.resolve(en),
  de: async () => (await import("./de")).default,
};

const current = signal<{ readonly language: Language; readonly catalogue: Catalogue; readonly locale: string }>({
  language: "en",
  catalogue: en,
  locale: localeFor("en", preferred()),
});

/**
 * t returns the catalog of the chosen language. A component that calls it while rendering renders
 * again when the language changes.
 */
export const t = (): Catalogue => current.value.catalogue;

/** pageLanguage returns the language of the catalog. */
export const pageLanguage = (): Language => current.value.language;

/** locale returns the locale for dates and numbers, such as "en-GB". */
export const locale = (): string => current.value.locale;

/** The number of the latest request. */
let wanted = 0;

/**
 * chooseLanguage loads a language and shows the page in it. If loading fails, the language does not
 * change.
 */
export async function chooseLanguage(choice: LanguageChoice): Promise<void> {
  const request = ++wanted;
  const language = choice === "browser" ? languageFor(preferred()) : choice;
  const catalogue = await loaders[language]();
  // The user may have chosen another language while this one was loading.
  if (request === wanted) {
    current.value = { language, catalogue, locale: localeFor(language, preferred()) };
    document.documentElement.lang = language;
  }
}

/** languageFor returns the first of the preferred languages that has a catalog. */
export function languageFor(tags: readonly string[]): Language {
  return tags.map(primary).find((tag): tag is Language => Object.hasOwn(languages, tag)) ?? "en";
}
