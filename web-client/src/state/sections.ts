/** The sections of the channel list: starred channels, each group, other channels, direct messages. */

import type { Group } from "@parley/client";
import { computed } from "@preact/signals";

import type { ChannelState } from "./channel-state";
import { preferencesOf } from "./channel-preferences";
import { directChannels, namedChannels, openState } from "./channels";
import { groups } from "./groups";

export interface Section {
  /** Identifies the section in the stored list of collapsed sections. */
  readonly name: string;
  readonly group?: Group;
  readonly channels: readonly ChannelState[];
}

const isStarred = (c: ChannelState): boolean => preferencesOf(c.id).starred === true;

export const sections = computed<readonly Section[]>(() => {
  const rest = namedChannels.value.filter((c) => !isStarred(c));
  const groupOf = (c: ChannelState): string | null => c.details.value?.group_id ?? null;
  const grouped = (groups.value ?? []).map((group) => ({ name: group.id, group, channels: rest.filter((c) => groupOf(c) === group.id) }));
  const inGroups = new Set(grouped.flatMap((section) => section.channels));
  return [
    { name: "starred", channels: [...namedChannels.value, ...directChannels.value].filter(isStarred) },
    ...grouped,
    { name: "channels", channels: rest.filter((c) => !inGroups.has(c)) },
    { name: "direct", channels: directChannels.value.filter((c) => !isStarred(c)) },
  ];
});

/** The name of the section that contains the open channel. */
export const openSection = computed(() => {
  const open = openState.value;
  return open === undefined ? undefined : sections.value.find((s) => s.channels.includes(open))?.name;
});
