/** This user's channels. */

import { allPages, ApiError, type ChannelDetails } from "@parley/client";
import { computed, signal } from "@preact/signals";

import { preferencesOf } from "./channel-preferences";
import { ChannelState, MAX_MEMBERS } from "./channel-state";
import { sdk } from "./client";
import { copiedList, forgetCopiedChannel, forgetOtherChannels } from "./offline-store";
import { learnMember } from "./people";
import { restoreMark } from "./reading";
import { route } from "./route";
import { showError } from "./toasts";

/**
 * The user's channels by id. The map is replaced when a channel is added or removed. Changes within
 * a channel affect only that channel's own signals.
 */
export const channels = signal<ReadonlyMap<string, ChannelState>>(new Map());
/**
 * Whether the list is complete. Until then, a channel that is missing from it may still be one of
 * the user's channels.
 */
export const channelsLoaded = signal(false);
/** Incremented when one of the user's groups changes, so that dialogs reload the groups. */
export const groupsVersion = signal(0);

export const openState = computed<ChannelState | undefined>(() =>
  route.value.name === "channel" ? channels.value.get(route.value.channelID) : undefined,
);

const byTitle = new Intl.Collator(undefined, { sensitivity: "base", numeric: true });
const compareTitles = (a: ChannelState, b: ChannelState): number => byTitle.compare(a.title.value, b.title.value);

export const namedChannels = computed(() => [...channels.value.values()].filter((c) => c.kind !== "direct").sort(compareTitles));
/** The most recently active first. */
export const directChannels = computed(() =>
  [...channels.value.values()]
    .filter((c) => c.kind === "direct")
    .sort((a, b) => b.activeAt.value - a.activeAt.value || compareTitles(a, b)),
);
/** The number of unread messages in channels that are not muted. */
export const totalUnread = computed(() =>
  [...channels.value.values()].reduce((sum, c) => sum + (preferencesOf(c.id).muted === true ? 0 : c.unread.value), 0),
);

function stateOf(id: string): ChannelState {
  const state = new ChannelState(sdk().channel(id));
  restoreMark(state);
  return state;
}

/** ensureChannel returns the state of a channel, creating it if it is new. */
export function ensureChannel(id: string): ChannelState {
  const known = channels.value.get(id);
  if (known !== undefined) {
    return known;
  }
  const made = stateOf(id);
  channels.value = new Map(channels.value).set(id, made);
  return made;
}

export function addChannel(details: ChannelDetails): ChannelState {
  learnPeer(details);
  const state = channels.value.get(details.id) ?? stateOf(details.id);
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
  forgetCopiedChannel(id);
  if (channels.value.has(id)) {
    const rest = new Map(channels.value);
    rest.delete(id);
    channels.value = rest;
  }
}

/** The channels that are known only from the offline copy. */
const restored = new Set<string>();

/** restoreChannels shows the channels of the offline copy until the list has been loaded. */
export function restoreChannels(): void {
  for (const details of copiedList()?.channels ?? []) {
    restored.add(details.id);
    addChannel(details);
  }
}

/**
 * loadChannels reads the user's channels. The WebSocket lists them too, but without peers, roles
 * and topics.
 */
export async function loadChannels(): Promise<void> {
  const list = await allPages((at) => sdk().rest.listChannels({ mine: true, limit: 200, ...at }));
  const all = new Map(channels.value);
  for (const details of list) {
    learnPeer(details);
    const state = all.get(details.id) ?? stateOf(details.id);
    state.setDetails(details);
    all.set(details.id, state);
  }
  const listed = new Set(list.map((details) => details.id));
  for (const id of restored) {
    if (!listed.has(id) && all.get(id)?.handle.followed !== true) {
      all.delete(id); // the user is no longer a member
    }
  }
  restored.clear();
  forgetOtherChannels((id) => all.has(id));
  channels.value = all;
  channelsLoaded.value = true;
}

/**
 * refreshDetails reads a channel's details. It is called after the channel has been added, and when
 * the user's role may have changed.
 */
export async function refreshDetails(state: ChannelState): Promise<void> {
  await readDetails(state).catch(showError);
}

/**
 * readDetails reads a channel's details. It removes the channel from the list if the user is no
 * longer a member.
 */
async function readDetails(state: ChannelState): Promise<void> {
  try {
    const details = await sdk().rest.getChannel(state.id);
    learnPeer(details);
    state.setDetails(details);
  } catch (error) {
    if (!(error instanceof ApiError && (error.status === 404 || error.status === 403))) {
      throw error;
    }
    removeChannel(state.id);
  }
}

/**
 * readMissing reads the data that is still needed to show a channel: the list of channels, or the
 * channel's details.
 */
export async function readMissing(channelID: string): Promise<void> {
  if (!channelsLoaded.peek()) {
    await loadChannels();
  }
  const state = channels.peek().get(channelID);
  if (state !== undefined && state.details.peek() === undefined) {
    await readDetails(state);
  }
}

/** loadMembers reads the members, up to MAX_MEMBERS. */
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
  } while (cursor !== null && members.length < MAX_MEMBERS);
  members.forEach(learnMember);
  state.members.value = members;
}

export function forgetChannels(): void {
  channels.value = new Map();
  channelsLoaded.value = false;
  restored.clear();
}
