/** Reactions to messages. */

import type { LoggedMessage } from "../lib/log";
import { channels } from "./channels";
import type { ChannelState } from "./channel-state";
import { recentEmoji } from "./preferences";
import { myID } from "./me";
import { showError } from "./toasts";

const MAX_RECENT = 12;

/** bare removes variation selectors, which the server may add or remove. */
const bare = (emoji: string): string => emoji.trim().replace(/[\ufe0e\ufe0f]/g, "");

/** isSet reports whether this user has reacted to the message with the emoji. */
export const isSet = (message: LoggedMessage, emoji: string): boolean =>
  message.reactions.some((r) => bare(r.emoji) === bare(emoji) && r.user_ids.includes(myID()));

/** react adds a reaction, or removes it if the user has already added it. */
export function react(state: ChannelState, message: LoggedMessage, emoji: string): void {
  const remove = isSet(message, emoji);
  if (!remove) {
    recentEmoji.value = [emoji, ...recentEmoji.peek().filter((e) => e !== emoji)].slice(0, MAX_RECENT);
  }
  state.handle.react(message.id, emoji, remove).catch(showError);
}

export const channelOf = (message: LoggedMessage): ChannelState | undefined => channels.peek().get(message.channel_id);
