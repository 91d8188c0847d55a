/** Emoji on messages. */

import type { LoggedMessage } from "../lib/log";
import { channels } from "./channels";
import type { ChannelState } from "./channel-state";
import { recentEmoji } from "./preferences";
import { myID } from "./session";
import { complain } from "./toasts";

const KEPT = 12;

/** An emoji without variation selectors, which the server may add or remove. */
const bare = (emoji: string): string => emoji.trim().replace(/[\ufe0e\ufe0f]/g, "");

/** Whether we have put the emoji on the message. */
export const isSet = (message: LoggedMessage, emoji: string): boolean =>
  message.reactions.some((r) => bare(r.emoji) === bare(emoji) && r.user_ids.includes(myID()));

/** Puts an emoji on a message, or takes it back if it is ours. */
export function react(state: ChannelState, message: LoggedMessage, emoji: string): void {
  const remove = isSet(message, emoji);
  if (!remove) {
    recentEmoji.value = [emoji, ...recentEmoji.peek().filter((e) => e !== emoji)].slice(0, KEPT);
  }
  state.handle.react(message.id, emoji, remove).catch(complain);
}

export const channelOf = (message: LoggedMessage): ChannelState | undefined => channels.peek().get(message.channel_id);
