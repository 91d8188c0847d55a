/** The user's preferences on this device, stored in the browser rather than in the account. */

import { effect, type Signal, signal } from "@preact/signals";

import type { LanguageChoice } from "../i18n";
import { store, stored } from "../lib/storage";

export type Theme = "system" | "light" | "dark";
/** Which messages cause a notification while the page is hidden. */
export type NotificationLevel = "all" | "mentions" | "none";

/** storedSignal returns a signal whose value is stored in the browser. */
export function storedSignal<T>(key: string, fallback: T, valid: (value: unknown) => value is T): Signal<T> {
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

export const language = storedSignal<LanguageChoice>("language", "browser", oneOf("browser", "en", "de"));
export const theme = storedSignal<Theme>("theme", "system", oneOf("system", "light", "dark"));
/**
 * Earlier releases stored their default, "all", under "notify" as if it had been chosen, so only the
 * other levels are taken over.
 */
export const notificationLevel = storedSignal<NotificationLevel>(
  "notifications",
  stored<NotificationLevel>("notify", "mentions", oneOf("mentions", "none")),
  oneOf("all", "mentions", "none"),
);
/** Whether the members are shown beside the messages, where there is room for them. */
export const membersBeside = storedSignal("members", false, isBoolean);
/**
 * The collapsed sections of the channel list. A collapsed section shows only unread channels and
 * the open channel.
 */
export const collapsedSections = storedSignal<readonly string[]>("folded", [], isStrings);
export const recentEmoji = storedSignal<readonly string[]>("emoji", [], isStrings);

effect(() => {
  if (theme.value === "system") {
    document.documentElement.removeAttribute("data-theme");
  } else {
    document.documentElement.setAttribute("data-theme", theme.value);
  }
});
