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

/** What was typed in a channel and not sent; it is there again after a reload. */
const isDrafts = (value: unknown): value is Record<string, string> =>
  typeof value === "object" && value !== null && Object.values(value).every((v) => typeof v === "string");
const drafts = new Map(Object.entries(stored<Record<string, string>>("drafts", {}, isDrafts)));

export const draftOf = (channelID: string): string => drafts.get(channelID) ?? "";

export function keepDraft(channelID: string, text: string): void {
  if (text === "") {
    drafts.delete(channelID);
  } else {
    drafts.set(channelID, text);
  }
  store("drafts", Object.fromEntries(drafts));
}

/** Drafts are private: the next user of this browser does not read them. */
export function forgetDrafts(): void {
  drafts.clear();
  store("drafts", undefined);
}
