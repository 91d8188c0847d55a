/** Phrases that contain a count, with the plural rules and the number format of a language. */

/**
 * Forms has a phrase for each plural category that the language distinguishes; # stands for the
 * number.
 */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { readonly other: string };

/** counterFor returns a function that inserts a number into the phrase for its plural category. */
export function counterFor(language: string): (n: number, forms: Forms) => string {
  const rules = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);
  return (n, forms) => (forms[rules.select(n)] ?? forms.other).replaceAll("#", numbers.format(n));
}
