/**
 * The layout for the window's size and the kind of pointer. The style sheets use the same widths.
 */

import { type ReadonlySignal, signal } from "@preact/signals";

function matching(condition: string): ReadonlySignal<boolean> {
  const query = matchMedia(condition);
  const matches = signal(query.matches);
  query.addEventListener("change", () => {
    matches.value = query.matches;
  });
  return matches;
}

/** Whether the window has room for only one pane. */
export const narrow = matching("(max-width: 45em)");
/** Whether the members pane covers the messages instead of being shown next to them. */
export const membersCover = matching("(max-width: 68.6875em)");
/** Whether the user types on an on-screen keyboard, which has no Shift+Enter. */
export const touch = matching("(hover: none) and (pointer: coarse)");
/** Whether popovers are sheets at the bottom of the window. */
export const sheets = matching("(pointer: coarse), (max-width: 40em)");
