/** Sentences about fields that the server refused. */

import type { ProblemField } from "@parley/client";

import { t } from "./index";
import type { FieldText } from "./en";

/**
 * fieldError returns a whole sentence about an invalid field. A server that is newer than the page
 * may send a code that is not in the catalog; the rule is then shown in the server's words.
 */
export function fieldError({ field, code, message, min, max }: ProblemField): string {
  const { fields, fieldErrors, otherFieldError } = t();
  const name = Object.hasOwn(fields, field) ? fields[field as keyof typeof fields] : field;
  const text: FieldText | undefined = Object.hasOwn(fieldErrors, code) ? fieldErrors[code] : undefined;
  if (text === undefined) {
    return otherFieldError(name, message);
  }
  return typeof text === "string" ? text : text(name, { min, max });
}
