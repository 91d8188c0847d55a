/** Keys that belong to an input method. */

/** What the browser reports as the code of a key that an input method handles. */
const INPUT_METHOD = 229;

/**
 * Reports whether a key goes to an input method, such as the Enter that confirms a conversion from kana to kanji: then it is
 * nothing else. Safari ends the composition before it sends that Enter, so isComposing is false, and only the code says it.
 */
export function composing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === INPUT_METHOD;
}
