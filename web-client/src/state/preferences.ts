/** What a user prefers on this device: kept in the browser, not in the account. */

import { effect, type Signal, signal } from "@preact/signals";

import { store, stored } from "../lib/storage";

export type Theme = "system" | "light" | "dark";
/** Of which messages the browser tells while the page is hidden. */
export type NotifyOf = "all" | "mentions" | "none";

function kept<T>(key: string, fallback: T, valid: (value: unknown) => value is T): Signal<T> {
  const value = signal(stored(key, fallback, valid));
  effect(() => store(key, value.value));
  return value;
}

const oneOf =
  <T extends string>(...values: readonly T[]) =>
  (value: unknown): value is T =>
    (values as readonly unknown[]).includes(value);
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
const isStrings = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every((v) => typeof v === "string");

export const theme = kept<Theme>("theme", "system", oneOf("system", "light", "dark"));
export const notifyOf = kept<NotifyOf>("notify", "all", oneOf("all", "mentions", "none"));
export const membersShown = kept("members", false, isBoolean);
/** The sections of the list of channels that are folded: they show what is unread, and what is open. */
export const folded = kept<readonly string[]>("folded", [], isStrings);
export const recentEmoji = kept<readonly string[]>("emoji", [], isStrings);

effect(() => {
  if (theme.value === "system") {
    document.documentElement.removeAttribute("data-theme");
  } else {
    document.documentElement.setAttribute("data-theme", theme.value);
  }
});
