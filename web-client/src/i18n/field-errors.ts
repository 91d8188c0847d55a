/** Sentences about fields that the server refused. */

import type { ProblemField } from "@parley/client";

import { t } from "./index";
import type { Catalogue } from "./en";

type Sentence = (field: string, numbers: readonly number[], texts: Catalogue["fieldErrors"]) => string;

/**
 * The server's rules, in the server's words, and the sentences for them. Problem documents have no
 * codes for rules. A rule that is not listed here is shown in the server's words.
 */
const rules: readonly (readonly [RegExp, Sentence])[] = [
  [/^(is required|is empty|is blank|must not be (blank|empty))/, (field, _, texts) => texts.required(field)],
  [/^must have at least (\d+) characters/, (field, [min = 0], texts) => texts.atLeast(field, min)],
  [/^must have at most (\d+) characters/, (field, [max = 0], texts) => texts.atMost(field, max)],
  [/^must have (\d+) to (\d+) characters/, (field, [min = 0, max = 0], texts) => texts.between(field, min, max)],
  [/^is already taken/, (field, _, texts) => texts.taken(field)],
  [/^looks like one that is already taken/, (field, _, texts) => texts.lookalike(field)],
  [/^is one of the most common passwords/, (field, _, texts) => texts.common(field)],
  [/^must not be your own name/, (field, _, texts) => texts.ownName(field)],
  [/^is not an email address/, (_, __, texts) => texts.notEmail],
  [/^is not an https address/, (_, __, texts) => texts.notHTTPS],
  [/^may contain only letters/, (field, _, texts) => texts.usernameCharacters(field)],
  [/^(contains (a character|half)|must not contain)/, (field, _, texts) => texts.character(field)],
  [/^must be exactly one Unicode emoji/, (_, __, texts) => texts.oneEmoji],
];

/** fieldError returns a whole sentence about an invalid field. */
export function fieldError({ field, message }: ProblemField): string {
  const { fields, fieldErrors } = t();
  const name = field in fields ? fields[field as keyof typeof fields] : field;
  for (const [pattern, sentence] of rules) {
    const found = pattern.exec(message);
    if (found !== null) {
      return sentence(name, found.slice(1).map(Number), fieldErrors);
    }
  }
  return fieldErrors.other(name, message);
}
