/** The key that sends or saves the text of a field that may have several lines. */

import { touch } from "../state/viewport";

/**
 * submits reports whether a key sends or saves the text. Enter submits, except with Shift. On a
 * touch screen, Enter starts a new line and a button sends the text. Ctrl+Enter always submits, for
 * keyboards that are connected to a tablet.
 */
export function submits(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && (!touch.peek() || event.ctrlKey || event.metaKey);
}
