/** Short words about what has happened, at the edge of the page. */

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
  // The same said twice is shown once, and not more than four at a time.
  toasts.value = [...toasts.value.filter((t) => t.text !== text), { id, text, kind }].slice(-4);
  setTimeout(() => dismiss(id), SHOWN_MS[kind]);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
}

/** What went wrong, in the words of the server's problem document where there is one. */
export function wordsOf(error: unknown): string {
  if (error instanceof ApiError && error.errors.length > 0) {
    return error.errors.map((f) => `${f.field} ${f.message}`).join(". ");
  }
  if (error instanceof ClientError && error.code === "offline") {
    return "The server cannot be reached.";
  }
  const words = error instanceof Error && error.message !== "" ? error.message : "Something went wrong";
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

export const complain = (error: unknown): void => toast(wordsOf(error), "error");

/** Runs what a control asks for; what goes wrong is said, and undefined comes back. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    complain(error);
    return undefined;
  }
}
