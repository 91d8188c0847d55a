/** Hands what the SDK tells to the states of the page, from log in to log out. */

import type { ChannelEvent, EndReason } from "@parley/client";
import { batch } from "@preact/signals";

import { announce } from "./announcements";
import type { ChannelState } from "./channel-state";
import { channels, channelsLoaded, ensureChannel, forgetChannels, groupsVersion, loadChannels, loadMembers, openState, refreshDetails, removeChannel } from "./channels";
import { dropClient, sdk } from "./client";
import { connection } from "./connection";
import { closeDialog } from "./dialog";
import { fold, followedFrom, startOver } from "./history";
import { invitations, loadInvitations } from "./invitations";
import { notifyOfMessage } from "./notifications";
import { forgetPeople, learn } from "./people";
import { complain, toast } from "./toasts";

/** How many direct channels show who is online beside them: presence is asked for channel by channel. */
const DIRECT_PRESENCE = 30;

let offs: (() => void)[] = [];
let removing: string | undefined;

export function begin(userID: string, onEnd: (reason: EndReason) => void): void {
  const client = sdk();
  const known = (id: string): ChannelState | undefined => channels.peek().get(id);
  offs = [
    client.on("state", (state) => {
      connection.value = state;
      if (state.name === "up-to-date") {
        void settled();
      }
      if (state.name === "ended" && state.reason !== "closed") {
        onEnd(state.reason);
      }
    }),
    client.on("joined", ({ channel, from }) => {
      const state = ensureChannel(channel.id);
      syncCounts(state);
      state.pending.value = messagesOf(state);
      followedFrom(state, from.seq);
      if (channelsLoaded.peek() && state.details.peek() === undefined) {
        void refreshDetails(state);
      }
    }),
    client.on("left", ({ channel, by }) => {
      const state = known(channel.id);
      if (state !== undefined) {
        if (by !== userID && removing !== channel.id) {
          toast(`You are no longer in ${state.title.peek()}.`);
        }
        removeChannel(channel.id);
      }
    }),
    client.on("event", (event) => {
      const state = known(event.channel_id);
      if (state !== undefined) {
        batch(() => take(state, event));
      }
    }),
    client.on("reset", ({ channel, to }) => {
      const state = known(channel.id);
      if (state !== undefined) {
        startOver(state, to.seq);
      }
    }),
    client.on("status", (pending) => {
      const state = known(pending.channelID);
      if (state !== undefined && pending.kind === "send") {
        state.pending.value = messagesOf(state);
      }
    }),
    client.on("unread", ({ channel }) => {
      const state = known(channel.id);
      if (state !== undefined) {
        syncCounts(state);
      }
    }),
    client.on("reached", ({ channel, delivered, read }) => {
      const state = known(channel.id);
      if (state !== undefined) {
        state.reached.value = { delivered, read };
      }
    }),
    client.on("typing", ({ channel_id }) => {
      const state = known(channel_id);
      if (state !== undefined) {
        state.typists.value = [...state.handle.typists].filter((id) => id !== userID);
      }
    }),
    client.on("presence", ({ channel_id }) => {
      const state = known(channel_id);
      const online = state?.handle.online;
      if (state !== undefined && online !== undefined) {
        state.online.value = { count: online.count, users: new Set(online.users) };
      }
    }),
    client.on("group", () => {
      groupsVersion.value++;
    }),
    client.on("invitation", () => {
      loadInvitations().catch(complain);
    }),
  ];
  connection.value = client.state;
  client.connect();
  loadChannels().catch(complain);
  loadInvitations().catch(complain);
}

export function end(): void {
  offs.forEach((off) => off());
  offs = [];
  closeDialog();
  dropClient();
  forgetChannels();
  invitations.value = [];
  forgetPeople();
}

/** Leaves a channel, or deletes it: then nobody needs to be told that we are no longer in it. */
export async function quit(channelID: string, work: () => Promise<unknown>): Promise<void> {
  removing = channelID;
  try {
    await work();
    removeChannel(channelID);
  } finally {
    removing = undefined;
  }
}

/** The messages of a channel that wait or have failed. Edits and reactions that wait are not rows of their own. */
const messagesOf = (state: ChannelState) => state.handle.pending.filter((p) => p.kind === "send");

function syncCounts(state: ChannelState): void {
  state.unread.value = state.handle.unread;
  state.mentions.value = state.handle.unreadMentions;
}

function take(state: ChannelState, event: ChannelEvent): void {
  fold(state, event);
  if (event.mine) {
    // What has waited is a message now: both in one step, so that its row stays.
    state.pending.value = messagesOf(state);
  }
  switch (event.type) {
    case "message":
      learn(event.sender_id, { username: event.sender_name });
      state.activeAt.value = Date.parse(event.sent_at);
      // Typing is over when the message is there.
      state.typists.value = state.typists.peek().filter((id) => id !== event.sender_id);
      beginNew(state, event);
      notifyOfMessage(state, event);
      if (!event.mine && openState.peek() === state) {
        announce(event);
      }
      return;
    case "channel_updated":
      takeUpdate(state, event.channel);
      return;
    case "member_joined":
    case "member_left":
      learn(event.user_id, { username: event.username });
      takeMembership(state, event.type === "member_joined" ? 1 : -1);
      return;
    default:
      return;
  }
}

/** What comes while nobody looks is new to whoever comes back. */
function beginNew(state: ChannelState, event: ChannelEvent): void {
  if (!event.mine && openState.peek() === state && !document.hasFocus() && state.newAfter.peek() === undefined) {
    state.newAfter.value = event.seq - 1;
  }
}

function takeUpdate(state: ChannelState, now: Readonly<Record<string, unknown>>): void {
  const details = state.details.peek();
  if (details !== undefined) {
    const name = typeof now["name"] === "string" ? now["name"] : details.name;
    const description = typeof now["description"] === "string" ? now["description"] : details.description;
    const mention_all = now["mention_all"] === "admins" || now["mention_all"] === "everyone" ? now["mention_all"] : details.mention_all;
    state.details.value = { ...details, name, description, mention_all };
  }
}

const stale = new Set<ChannelState>();

function takeMembership(state: ChannelState, by: number): void {
  const details = state.details.peek();
  if (details !== undefined) {
    state.details.value = { ...details, member_count: Math.max(1, details.member_count + by) };
  }
  // Many may come at once; the list is read once.
  if (state.members.peek() !== undefined && !stale.has(state)) {
    stale.add(state);
    setTimeout(() => {
      stale.delete(state);
      loadMembers(state).catch(() => undefined);
    }, 500);
  }
}

/** Everything is there: now for what is asked for only once the connection stands. */
async function settled(): Promise<void> {
  try {
    if (!channelsLoaded.peek()) {
      await loadChannels();
    }
    const direct = [...channels.peek().values()].filter((c) => c.kind === "direct");
    await Promise.all(direct.slice(0, DIRECT_PRESENCE).map(showPresence));
  } catch (error) {
    complain(error);
  }
}

/** Asks who is online; from then on the SDK keeps it up. */
export async function showPresence(state: ChannelState): Promise<void> {
  try {
    const online = await state.handle.presence();
    state.online.value = { count: online.count, users: new Set(online.users) };
  } catch {
    // Who is online is not worth a complaint; the next connection tells.
  }
}

