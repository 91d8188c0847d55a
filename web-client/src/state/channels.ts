/** The channels of this user. */

import { allPages, ApiError, type ChannelDetails } from "@parley/client";
import { computed, signal } from "@preact/signals";

import { ChannelState, MOST_MEMBERS } from "./channel-state";
import { sdk } from "./client";
import { learnMember } from "./people";
import { route } from "./route";
import { complain } from "./toasts";

/** Replaced when a channel comes or goes; what changes within one is in its own signals. */
export const channels = signal<ReadonlyMap<string, ChannelState>>(new Map());
/** Whether the list is complete: until then a channel that is not in it may be ours all the same. */
export const channelsLoaded = signal(false);
/** Grows when a group of ours has changed: dialogs that show groups read them again. */
export const groupsVersion = signal(0);

export const openState = computed<ChannelState | undefined>(() =>
  route.value.name === "channel" ? channels.value.get(route.value.channelID) : undefined,
);

const byTitle = new Intl.Collator(undefined, { sensitivity: "base", numeric: true });
const compareTitles = (a: ChannelState, b: ChannelState): number => byTitle.compare(a.title.value, b.title.value);

export const namedChannels = computed(() => [...channels.value.values()].filter((c) => c.kind !== "direct").sort(compareTitles));
/** The one that was active last first. */
export const directChannels = computed(() =>
  [...channels.value.values()]
    .filter((c) => c.kind === "direct")
    .sort((a, b) => b.activeAt.value - a.activeAt.value || compareTitles(a, b)),
);
export const totalUnread = computed(() => {
  let messages = 0;
  let calls = 0;
  for (const c of channels.value.values()) {
    messages += c.unread.value;
    calls += c.kind === "direct" ? c.unread.value : c.mentions.value;
  }
  return { messages, calls };
});

/** The state of a channel of ours, made if it is new. */
export function ensureChannel(id: string): ChannelState {
  const known = channels.value.get(id);
  if (known !== undefined) {
    return known;
  }
  const made = new ChannelState(sdk().channel(id));
  channels.value = new Map(channels.value).set(id, made);
  return made;
}

export function addChannel(details: ChannelDetails): ChannelState {
  learnPeer(details);
  const state = channels.value.get(details.id) ?? new ChannelState(sdk().channel(details.id));
  state.setDetails(details);
  if (!channels.value.has(details.id)) {
    channels.value = new Map(channels.value).set(details.id, state);
  }
  return state;
}

function learnPeer(details: ChannelDetails): void {
  if (details.peer !== undefined) {
    learnMember(details.peer);
  }
}

export function removeChannel(id: string): void {
  if (channels.value.has(id)) {
    const rest = new Map(channels.value);
    rest.delete(id);
    channels.value = rest;
  }
}

/** Reads the list of our channels. The socket names them too, but not their peers, roles and topics. */
export async function loadChannels(): Promise<void> {
  const list = await allPages((at) => sdk().rest.listChannels({ mine: true, limit: 200, ...at }));
  const all = new Map(channels.value);
  for (const details of list) {
    learnPeer(details);
    const state = all.get(details.id) ?? new ChannelState(sdk().channel(details.id));
    state.setDetails(details);
    all.set(details.id, state);
  }
  channels.value = all;
  channelsLoaded.value = true;
}

/** Reads what one channel is: after it was added, and when a role may have changed. */
export async function refreshDetails(state: ChannelState): Promise<void> {
  try {
    const details = await sdk().rest.getChannel(state.id);
    learnPeer(details);
    state.setDetails(details);
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 403)) {
      removeChannel(state.id);
      return;
    }
    complain(error);
  }
}

/** Reads the members, as many as the page lists. */
export async function loadMembers(state: ChannelState): Promise<void> {
  const members = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<ReturnType<typeof sdk>["rest"]["listMembers"]>> = await sdk().rest.listMembers(
      state.id,
      cursor === null ? { limit: 200 } : { limit: 200, cursor },
    );
    members.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null && members.length < MOST_MEMBERS);
  members.forEach(learnMember);
  state.members.value = members;
}

export function forgetChannels(): void {
  channels.value = new Map();
  channelsLoaded.value = false;
}
