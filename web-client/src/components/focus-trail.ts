/**
 * Remembers the last focused control outside dialogs. When a dialog closes, browsers return the
 * focus to the control that opened it, but that control may no longer exist: a message's buttons
 * are shown only while the mouse is over the message, and a removed member has no row.
 */

/** The control that had the focus last and the focusable elements around it, innermost first. */
let trail: readonly HTMLElement[] = [];

export function recordFocus({ target }: FocusEvent): void {
  if (!(target instanceof HTMLElement) || target.closest("dialog") !== null) {
    return;
  }
  const around: HTMLElement[] = [target];
  for (let next = target.parentElement; next !== null; next = next.parentElement) {
    if (next.hasAttribute("tabindex") && next.tagName !== "MAIN") {
      around.push(next);
    }
  }
  trail = around;
}

/**
 * restoreFocus moves the focus to the innermost element of the trail that can receive it. It
 * returns false if there is none.
 */
export function restoreFocus(): boolean {
  return trail.some((element) => {
    element.focus();
    return document.activeElement === element;
  });
}
