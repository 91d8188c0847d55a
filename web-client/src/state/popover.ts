/** The open popover. At most one is open. */

import { signal } from "@preact/signals";

import type { LoggedMessage } from "../lib/log";

export type PopoverRequest =
  | { readonly name: "react" | "receipts" | "message-menu"; readonly message: LoggedMessage }
  | { readonly name: "person"; readonly userID: string };

export interface OpenPopover {
  /**
   * A number that is different for each popover, so that a new popover is not rendered as a change
   * of the previous one.
   */
  readonly key: number;
  readonly request: PopoverRequest;
  /** The control next to which the popover is drawn. */
  readonly anchor: HTMLElement;
  /** The element that receives the focus when the popover closes. */
  readonly returnTo: HTMLElement;
}

export const popover = signal<OpenPopover | undefined>(undefined);
let lastKey = 0;

/**
 * togglePopover opens a popover next to a control, in place of the open popover. If the control's
 * own popover is open, togglePopover closes it.
 */
export function togglePopover(request: PopoverRequest, anchor: HTMLElement, returnTo = anchor): void {
  const open = popover.peek();
  closePopover();
  if (open?.anchor !== anchor || open.request.name !== request.name) {
    popover.value = { key: ++lastKey, request, anchor, returnTo };
  }
}

/** toggleFrom opens or closes the popover of the control that handles the event. */
export function toggleFrom(event: Event, request: PopoverRequest): void {
  if (event.currentTarget instanceof HTMLElement) {
    togglePopover(request, event.currentTarget);
  }
}

/**
 * closePopover closes the popover and returns false if none is open. The focus returns from the
 * popover to its control, so the control must still be shown when closePopover is called. A
 * message's buttons are shown only while they have the focus or their popover is open.
 */
export function closePopover(): boolean {
  const open = popover.peek();
  if (open === undefined) {
    return false;
  }
  const focused = document.activeElement;
  if (focused === null || focused === document.body || focused.closest(".popover") !== null) {
    open.returnTo.focus({ preventScroll: true });
  }
  popover.value = undefined;
  return true;
}
