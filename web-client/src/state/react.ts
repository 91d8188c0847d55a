/** Reactions to messages. */

import type { LoggedMessage } from "../lib/log";
import { bare, withRecent } from "../lib/recent-emoji";
import { channels } from "./channels";
import type { ChannelState } from "./channel-state";
import { recentEmoji } from "./preferences";
import { myID } from "./me";
import { showError } from "./toasts";

/** isSet reports whether this user has reacted to the message with the emoji. */
export const isSet = (message: LoggedMessage, emoji: string): boolean =>
  message.reactions.some((r) => bare(r.emoji) === bare(emoji) && r.user_ids.includes(myID()));

/** react adds a reaction, or removes it if the user has already added it. */
export function react(state: ChannelState, message: LoggedMessage, emoji: string): void {
  const remove = isSet(message, emoji);
  const done = (): void => {
    if (!remove) {
      recentEmoji.value = withRecent(recentEmoji.peek(), emoji);
    }
  };
  state.handle.react(message.id, emoji, remove).then(done, showError);
}

/**
 * quickEmoji returns the emoji for the button that reacts with one click, which is the most
 * recently used emoji.
 */
export const quickEmoji = (): string => recentEmoji.value[0] ?? "👍";

export const channelOf = (message: LoggedMessage): ChannelState | undefined => channels.peek().get(message.channel_id);
