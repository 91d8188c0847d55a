/** The locale in which dates and numbers are written: a regional variant of the page's language. */

/** preferred returns the browser's languages, the most preferred first. */
export function preferred(): readonly string[] {
  return "navigator" in globalThis ? navigator.languages : [];
}

/** primary returns the language of a tag: "en" for "en-GB". */
export function primary(tag: string): string {
  return tag.toLowerCase().split("-")[0] ?? "";
}

/**
 * localeFor returns the user's regional variant of a language, such as "en-GB" for English, because
 * regions write dates in different ways.
 */
export function localeFor(language: string, tags: readonly string[]): string {
  return tags.find((tag) => primary(tag) === language) ?? language;
}
