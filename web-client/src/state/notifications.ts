/** Tells of messages while the page is hidden, if the user has allowed it. */

import type { ChannelEvent } from "@parley/client";
import { signal } from "@preact/signals";

import { plainText } from "../lib/markup";
import type { ChannelState } from "./channel-state";
import { nameOf, person } from "./people";
import { notifyOf } from "./preferences";
import { openChannel } from "./route";
import { myID } from "./session";

export type Permission = NotificationPermission | "unsupported";

export const permission = signal<Permission>("Notification" in globalThis ? Notification.permission : "unsupported");

/** Only ever from a button: browsers punish pages that ask by themselves. */
export async function askPermission(): Promise<void> {
  if (permission.value !== "unsupported") {
    permission.value = await Notification.requestPermission();
  }
}

/** What came while we were away is in the list of channels; a burst of notifications would say less. */
const NEWS_MS = 2 * 60_000;

export function notifyOfMessage(state: ChannelState, event: ChannelEvent & { readonly type: "message" }): void {
  if (event.mine || !document.hidden || permission.value !== "granted" || Date.now() - Date.parse(event.sent_at) > NEWS_MS) {
    return;
  }
  const calls = state.kind === "direct" || event.mentions.includes(myID()) || event.mentions.includes(state.id);
  if (notifyOf.value === "none" || (notifyOf.value === "mentions" && !calls)) {
    return;
  }
  const author = nameOf(person(event.sender_id).peek(), event.sender_name);
  const title = state.kind === "direct" ? author : `${author} in #${state.title.peek()}`;
  show(title, plainText(event.body, 140), state.id);
}

function show(title: string, body: string, channelID: string): void {
  try {
    // One per channel: the newest takes the place of the one before.
    const shown = new Notification(title, { body, tag: `parley-${channelID}`, icon: "/icon.svg" });
    shown.onclick = (): void => {
      window.focus();
      openChannel(channelID);
      shown.close();
    };
  } catch {
    // Chrome on Android has the class but takes notifications from service workers alone.
    permission.value = "unsupported";
  }
}
