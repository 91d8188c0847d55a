/**
 * useKeptFocus moves the focus to the next suitable control when the focused one disappears, for
 * example because a button's action removes its row. Browsers would move it to the document's body,
 * and keyboard users and screen readers would have to start again from the top of the page.
 */

import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** CONTROLS matches the controls that Tab reaches. */
export const CONTROLS = 'button:not(:disabled):not([tabindex="-1"]), input:not(:disabled), select, textarea, a[href]';

export function useKeptFocus(area: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const root = area.current;
    if (root === null) {
      return undefined;
    }
    let focused: HTMLElement | undefined;
    let place: readonly HTMLElement[] = [];
    const onFocus = (event: FocusEvent): void => {
      focused = event.target instanceof HTMLElement ? event.target : undefined;
      place = placeOf(focused, root);
    };
    // If the user has moved the focus out of this area, do not restore it. A focus that moved to a
    // dialog is an exception, because it returns to this area when the dialog closes.
    const onBlur = ({ relatedTarget }: FocusEvent): void => {
      if (relatedTarget instanceof Element && !root.contains(relatedTarget) && relatedTarget.closest("dialog") === null) {
        focused = undefined;
      }
    };
    const observer = new MutationObserver(() => {
      const active = document.activeElement;
      const lost = active === null || active === document.body || (active === root && focused !== root);
      if (!lost || focused === undefined) {
        return;
      }
      if (!focused.isConnected) {
        successor(root, place)?.focus();
      } else if (!focused.matches(":disabled")) {
        focused.focus(); // it was disabled while its form was being submitted
      }
    });
    root.addEventListener("focusin", onFocus);
    root.addEventListener("focusout", onBlur);
    observer.observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] });
    return () => {
      root.removeEventListener("focusin", onFocus);
      root.removeEventListener("focusout", onBlur);
      observer.disconnect();
    };
  }, []);
}

/**
 * placeOf returns the list items in which to search for the control that receives the focus next:
 * the element's own item, the items after it, and then the items before it, nearest first.
 */
function placeOf(element: HTMLElement | undefined, root: HTMLElement): readonly HTMLElement[] {
  const item = element?.closest("li");
  if (item === null || item === undefined || !root.contains(item)) {
    return [];
  }
  const all = [...(item.parentElement?.querySelectorAll<HTMLElement>(":scope > li") ?? [])];
  const at = all.indexOf(item);
  return [...all.slice(at), ...all.slice(0, at).reverse()];
}

/** focusFirst moves the focus to the preferred or first control of a dialog or popover. */
export const focusFirst = (area: HTMLElement): void => successor(area, [])?.focus();

/**
 * successor returns the first control in the given list items. If there is none, it returns the
 * area's preferred or first control.
 */
function successor(root: HTMLElement, place: readonly HTMLElement[]): HTMLElement | null {
  for (const item of place) {
    const control = item.isConnected ? item.querySelector<HTMLElement>(CONTROLS) : null;
    if (control !== null) {
      return control;
    }
  }
  const body = root.querySelector<HTMLElement>(".dialog-body") ?? root;
  return body.querySelector<HTMLElement>("[data-autofocus]") ?? body.querySelector<HTMLElement>(CONTROLS);
}
