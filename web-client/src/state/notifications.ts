/** Browser notifications for messages while the page is hidden, if the user has allowed them. */

import type { ChannelEvent } from "@parley/client";
import { signal } from "@preact/signals";

import { t } from "../i18n";
import { plainText } from "./bodies";
import { levelOf } from "./channel-preferences";
import type { ChannelState } from "./channel-state";
import { nameOf, person } from "./people";
import { openChannel } from "./route";
import { myID } from "./me";

export type Permission = NotificationPermission | "unsupported";

export const permission = signal<Permission>("Notification" in globalThis ? Notification.permission : "unsupported");

/**
 * requestPermission must be called from a button, because browsers penalize pages that ask for
 * permission unprompted.
 */
export async function requestPermission(): Promise<void> {
  if (permission.value !== "unsupported") {
    permission.value = await Notification.requestPermission();
  }
}

/**
 * MAX_AGE_MS limits notifications to recent messages. Older messages that arrive after a
 * reconnection would cause a burst of notifications; the channel list shows them instead.
 */
const MAX_AGE_MS = 2 * 60_000;

export function notifyOfMessage(state: ChannelState, event: ChannelEvent & { readonly type: "message" }): void {
  if (event.mine || !document.hidden || permission.value !== "granted" || Date.now() - Date.parse(event.sent_at) > MAX_AGE_MS) {
    return;
  }
  const mentionsUser = state.kind === "direct" || event.mentions.includes(myID()) || event.mentions.includes(state.id);
  const level = levelOf(state);
  if (level === "none" || (level === "mentions" && !mentionsUser)) {
    return;
  }
  const author = nameOf(person(event.sender_id).peek(), event.sender_name);
  const title = state.kind === "direct" ? author : t().notification.inChannel(author, state.title.peek());
  show(title, plainText(event.body, 140), state.id);
}

function show(title: string, body: string, channelID: string): void {
  try {
    // One notification per channel: the newest replaces the previous one.
    const shown = new Notification(title, { body, tag: `parley-${channelID}`, icon: "/icon.svg" });
    shown.onclick = (): void => {
      window.focus();
      openChannel(channelID);
      shown.close();
    };
  } catch {
    // Chrome on Android has the Notification class, but allows only service workers to show
    // notifications.
    permission.value = "unsupported";
  }
}
