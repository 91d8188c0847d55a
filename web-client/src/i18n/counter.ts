/** Phrases with counts, by a language's plural rules and number format. */

/** Forms has a phrase for each plural category that the language distinguishes; # is the number. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { readonly other: string };

/** counterFor returns a function that writes a number into the phrase for it. */
export function counterFor(language: string): (n: number, forms: Forms) => string {
  const rules = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);
  return (n, forms) => (forms[rules.select(n)] ?? forms.other).replaceAll("#", numbers.format(n));
}
