/** The user's preferences on this device, stored in the browser rather than in the account. */

import { effect, type Signal, signal } from "@preact/signals";

import type { LanguageChoice } from "../i18n";
import { onStored, store, stored } from "../lib/storage";

export type Theme = "system" | "light" | "dark";
/** The messages that cause a notification while the page is hidden. */
export type NotificationLevel = "all" | "mentions" | "none";

/**
 * storedSignal returns a signal whose value is stored in the browser when it changes. The fallback
 * itself is not stored, so that a later release can use another fallback. The signal also adopts
 * changes from other tabs, because the next change in this tab would otherwise undo them.
 */
export function storedSignal<T>(key: string, fallback: T, valid: (value: unknown) => value is T): Signal<T> {
  let saved = stored(key, fallback, valid);
  const value = signal(saved);
  effect(() => {
    if (value.value !== saved) {
      saved = value.value;
      store(key, saved);
    }
  });
  onStored(key, () => {
    saved = stored(key, fallback, valid);
    value.value = saved;
  });
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
const isLevel = oneOf<NotificationLevel>("all", "mentions", "none");

/**
 * takeOverLevel migrates the notification level that an earlier release stored under "notify". That
 * release stored its default, "all", as if the user had chosen it. So "all" is migrated only where
 * it had an effect: in browsers that the user has allowed to show notifications.
 */
function takeOverLevel(): void {
  const isUnset = (value: unknown): value is null => value === null;
  const earlier = stored<NotificationLevel | undefined>("notify", undefined, isLevel);
  const allowed = "Notification" in globalThis && Notification.permission === "granted";
  if (earlier !== undefined && stored("notifications", undefined, isUnset) === null && (earlier !== "all" || allowed)) {
    store("notifications", earlier);
  }
  store("notify", undefined);
}

takeOverLevel();
export const notificationLevel = storedSignal<NotificationLevel>("notifications", "mentions", isLevel);
/** Whether the members pane is shown next to the messages, where there is room for it. */
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
