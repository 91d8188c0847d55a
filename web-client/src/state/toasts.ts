/** Short messages about results and errors, at the edge of the page. */

import { ApiError, ClientError } from "@parley/client";
import { signal } from "@preact/signals";

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly kind: "info" | "error";
}

const SHOWN_MS = { info: 4000, error: 9000 } as const;

export const toasts = signal<readonly Toast[]>([]);
let lastID = 0;

export function toast(text: string, kind: Toast["kind"] = "info"): void {
  const id = ++lastID;
  // A text is shown only once, and at most four toasts are shown at a time.
  toasts.value = [...toasts.value.filter((t) => t.text !== text), { id, text, kind }].slice(-4);
  setTimeout(() => dismiss(id), SHOWN_MS[kind]);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
}

/**
 * errorText returns the text to show for an error, from the server's problem document if there is
 * one.
 */
export function errorText(error: unknown): string {
  if (error instanceof ApiError && error.errors.length > 0) {
    return error.errors.map((f) => `${f.field} ${f.message}`).join(". ");
  }
  if (error instanceof ClientError && error.code === "offline") {
    return "Can't reach the server.";
  }
  const words = error instanceof Error && error.message !== "" ? error.message : "something went wrong";
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

export const showError = (error: unknown): void => toast(errorText(error), "error");

/** attempt runs an action. If it fails, it shows the error and returns undefined. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    showError(error);
    return undefined;
  }
}
