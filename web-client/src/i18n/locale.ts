/** The locale for dates and numbers: a regional variant of the page's language. */

/** preferred returns the browser's languages in order of preference. */
export function preferred(): readonly string[] {
  return "navigator" in globalThis ? navigator.languages : [];
}

/** primary returns the primary language of a language tag: "en" for "en-GB". */
export function primary(tag: string): string {
  return tag.toLowerCase().split("-")[0] ?? "";
}

/**
 * localeFor returns the user's regional variant of a language, such as "en-GB" for English, because
 * date formats differ between regions.
 */
export function localeFor(language: string, tags: readonly string[]): string {
  return tags.find((tag) => primary(tag) === language) ?? language;
}
