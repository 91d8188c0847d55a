/** Short messages about results and errors, at the edge of the page. */

import { ClientError } from "@parley/client";
import { signal } from "@preact/signals";

import { t } from "../i18n";
import { fieldError } from "../i18n/field-errors";

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly kind: "info" | "error";
  readonly action?: ToastAction;
}

/** ToastAction undoes the action that the toast reports, or does the closest equivalent. */
export interface ToastAction {
  readonly label: string;
  readonly run: () => void;
}

const SHOWN_MS = { info: 4000, error: 9000 } as const;
/** UNDO_MS is how long a toast with an action is shown. */
const UNDO_MS = 6000;
/** HELD_MS is how long a toast stays after the pointer or the focus has left the toasts. */
const HELD_MS = 1000;

export const toasts = signal<readonly Toast[]>([]);
/** Whether the pointer is over a toast or a toast has the focus. While either is true, no toast disappears. */
export const toastsHeld = signal(false);
let lastID = 0;

export function toast(text: string, kind: Toast["kind"] = "info", action?: ToastAction): void {
  const id = ++lastID;
  // The same text is never shown twice, and at most four toasts are shown at a time.
  toasts.value = [...toasts.value.filter((t) => t.text !== text), { id, text, kind, ...(action === undefined ? {} : { action }) }].slice(-4);
  expire(id, action === undefined ? SHOWN_MS[kind] : UNDO_MS);
}

function expire(id: number, ms: number): void {
  setTimeout(() => (toastsHeld.peek() ? expire(id, HELD_MS) : dismiss(id)), ms);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
}

/**
 * errorText returns the text to show for an error: the catalog's text for the error's code, if
 * there is one, or else the error's own message.
 */
export function errorText(error: unknown): string {
  if (error instanceof ClientError && error.errors.length > 0) {
    return error.errors.map(fieldError).join(" ");
  }
  if (error instanceof ClientError) {
    const { problems } = t();
    // A server that is newer than the page may return codes that the catalog does not contain.
    const text = error.code in problems ? problems[error.code] : sentence;
    return typeof text === "string" ? text : text(sentence(error.message));
  }
  return error instanceof Error && error.message !== "" ? sentence(error.message) : t().somethingWrong;
}

const sentence = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

export const showError = (error: unknown): void => toast(errorText(error), "error");

/** succeeds runs an action and reports whether it succeeded. It shows the error if it did not. */
export async function succeeds(work: () => Promise<unknown>): Promise<boolean> {
  return (await attempt(() => work().then(() => true))) === true;
}

/** attempt runs an action. If the action fails, attempt shows the error and returns undefined. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    showError(error);
    return undefined;
  }
}
