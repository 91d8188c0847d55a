/**
 * The user's preferences for individual channels: starred, muted, the section of the channel list,
 * and which messages cause a notification. The server does not store them, so they apply to this
 * device only.
 */

import type { ChannelState } from "./channel-state";
import { myID } from "./me";
import { type NotificationLevel, notificationLevel, storedSignal } from "./preferences";

export interface ChannelPreferences {
  /** Whether the channel is at the top of the list. */
  readonly starred?: boolean;
  /** Whether unread messages are not highlighted and cause no notification. */
  readonly muted?: boolean;
  /** The id of one of the user's own sections. It has no effect if that section was deleted. */
  readonly section?: string | undefined;
  /** undefined means the level for all channels. */
  readonly level?: NotificationLevel | undefined;
}

type Stored = Readonly<Record<string, ChannelPreferences>>;

const isStored = (value: unknown): value is Stored =>
  typeof value === "object" && value !== null && Object.values(value).every((v) => typeof v === "object" && v !== null);

/**
 * The preferences by user and channel, because users of the same browser have separate preferences.
 */
const all = storedSignal<Stored>("channels", {}, isStored);
const keyOf = (channelID: string): string => `${myID()}/${channelID}`;

export const preferencesOf = (channelID: string): ChannelPreferences => all.value[keyOf(channelID)] ?? {};

export function prefer(channelID: string, change: ChannelPreferences): void {
  const next = { ...preferencesOf(channelID), ...change };
  const { [keyOf(channelID)]: _, ...others } = all.peek();
  const none = next.starred !== true && next.muted !== true && next.level === undefined && next.section === undefined;
  all.value = none ? others : { ...others, [keyOf(channelID)]: next };
}

/**
 * moveToSection moves a channel to one of the user's own sections or, if the section is undefined,
 * back to its default section. A starred channel loses its star, because the star would keep it at
 * the top of the list.
 */
export const moveToSection = (channelID: string, section: string | undefined): void => prefer(channelID, { section, starred: false });

/**
 * levelOf returns the channel's notification level, which determines which messages cause a
 * notification.
 */
export function levelOf(state: ChannelState): NotificationLevel {
  const { muted, level } = preferencesOf(state.id);
  return muted === true ? "none" : (level ?? notificationLevel.value);
}
