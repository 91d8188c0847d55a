/** Detects keys that belong to an input method. */

/** The keyCode that browsers report for a key press that an input method handles. */
const INPUT_METHOD = 229;

/**
 * composing reports whether a key goes to an input method, such as the Enter that confirms a
 * conversion from kana to kanji. Such a key must have no other effect. Safari ends the composition
 * before it sends that Enter, so isComposing is already false. Only keyCode then shows that the key
 * belongs to the input method.
 */
export function composing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === INPUT_METHOD;
}
