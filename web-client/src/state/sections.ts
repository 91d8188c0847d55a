/**
 * The sections of the channel list: starred channels, the user's own sections, one section per
 * group, other channels, and direct messages. Each channel is in exactly one of them.
 */

import type { Group } from "@parley/client";
import { computed } from "@preact/signals";

import type { ChannelState } from "./channel-state";
import { preferencesOf } from "./channel-preferences";
import { directChannels, namedChannels, openState } from "./channels";
import { groups } from "./groups";
import { type UserSection, userSections } from "./user-sections";

export interface Section {
  /** The name that identifies the section in the stored list of collapsed sections. */
  readonly name: string;
  readonly group?: Group;
  readonly user?: UserSection;
  readonly channels: readonly ChannelState[];
  /**
   * The number of channels that belong to this section by default but that the user has starred or
   * moved elsewhere.
   */
  readonly elsewhere: number;
}

/**
 * defaultSectionOf returns the name of the section that contains the channel unless the user has
 * starred or moved the channel.
 */
export function defaultSectionOf(channel: ChannelState): string {
  if (channel.kind === "direct") {
    return "direct";
  }
  const groupID = channel.details.value?.group_id;
  return groups.value?.some((g) => g.id === groupID) === true ? (groupID ?? "") : "channels";
}

/**
 * userSectionOf returns the user-defined section that contains the channel, if there is one. A
 * starred channel is in no user-defined section.
 */
export function userSectionOf(channelID: string): UserSection | undefined {
  const { starred, section } = preferencesOf(channelID);
  return starred === true ? undefined : userSections.value.find((s) => s.id === section);
}

export const sections = computed<readonly Section[]>(() => {
  const members = new Map<string, ChannelState[]>();
  const moved = new Map<string, number>();
  for (const channel of [...namedChannels.value, ...directChannels.value]) {
    const home = defaultSectionOf(channel);
    const name = preferencesOf(channel.id).starred === true ? "starred" : (userSectionOf(channel.id)?.id ?? home);
    const list = members.get(name) ?? [];
    list.push(channel);
    members.set(name, list);
    if (name !== home) {
      moved.set(home, (moved.get(home) ?? 0) + 1);
    }
  }
  const section = (name: string, of: Pick<Section, "group" | "user"> = {}): Section => ({ name, ...of, channels: members.get(name) ?? [], elsewhere: moved.get(name) ?? 0 });
  return [
    section("starred"),
    ...userSections.value.map((user) => section(user.id, { user })),
    ...(groups.value ?? []).map((group) => section(group.id, { group })),
    section("channels"),
    section("direct"),
  ];
});

/** The name of the section that contains the open channel. */
export const openSection = computed(() => {
  const open = openState.value;
  return open === undefined ? undefined : sections.value.find((s) => s.channels.includes(open))?.name;
});
