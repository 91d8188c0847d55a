/** Passes the SDK's events to the page's state, from sign-in to sign-out. */

import type { ChannelEvent, EndReason, Role } from "@parley/client";
import { batch } from "@preact/signals";

import { t } from "../i18n";
import { withCounts, withoutMember, withPosition } from "../lib/readers";
import { announce } from "./announcements";
import { forgetBlocks, loadBlocks } from "./blocks";
import type { ChannelState } from "./channel-state";
import { channels, channelsLoaded, ensureChannel, forgetChannels, groupsVersion, loadChannels, loadMembers, openState, refreshDetails, removeChannel } from "./channels";
import { dropClient, sdk } from "./client";
import { connection, startedOffline } from "./connection";
import { forgetDepartures, recordDeparture } from "./departures";
import { closeDialog, covered } from "./dialog";
import { forgetGroups, loadGroups } from "./groups";
import { fold, followedFrom, reloadAfter } from "./history";
import { invitations, loadInvitations } from "./invitations";
import { notifyOfMessage } from "./notifications";
import { Copier } from "./offline-copy";
import { eraseCopiedMessages } from "./offline-store";
import { forgetPeople, learn } from "./people";
import { installWorker } from "./service-worker";
import { showError, toast } from "./toasts";

/**
 * MAX_DIRECT_PRESENCE is the maximum number of direct channels that show whether the other user is
 * online. There is a limit because presence is requested per channel.
 */
const MAX_DIRECT_PRESENCE = 30;

let offs: (() => void)[] = [];
let copier: Copier | undefined;
let leaving: string | undefined;

export function begin(userID: string, onEnd: (reason: EndReason) => void): void {
  const client = sdk();
  const known = (id: string): ChannelState | undefined => channels.peek().get(id);
  let reconnected = false;
  offs = [
    client.on("state", (state) => {
      connection.value = state;
      if (state.name === "catching-up" && startedOffline.peek()) {
        startedOffline.value = false;
        loadAll();
      }
      if (state.name === "up-to-date") {
        if (reconnected) {
          loadBlocks().catch(() => undefined); // the next focus or reconnection tries again
        }
        reconnected = true;
        installWorker();
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
        const removed = by !== userID && leaving !== channel.id;
        recordDeparture(state, removed ? "removed" : "left");
        if (removed) {
          toast(t().app.removedFrom((state.kind === "direct" ? "" : "#") + state.title.peek()));
        }
        removeChannel(channel.id);
      }
    }),
    client.on("event", (event) => {
      const state = known(event.channel_id);
      if (state !== undefined) {
        batch(() => handleEvent(state, event, userID));
        copier?.note(state, event);
      }
    }),
    client.on("reset", ({ channel, to }) => {
      const state = known(channel.id);
      if (state !== undefined) {
        reloadAfter(state, to.seq);
        eraseCopiedMessages(channel.id);
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
    client.on("receipt", ({ channel_id, user_id, delivered_seq, read_seq }) => {
      const state = known(channel_id);
      if (state !== undefined && user_id !== userID) {
        state.readers.value = withPosition(state.readers.peek(), user_id, delivered_seq, read_seq);
      }
    }),
    client.on("receiptCounts", ({ channel_id, seq, delivered_count, read_count, member_count }) => {
      const state = known(channel_id);
      if (state !== undefined) {
        state.readers.value = withCounts(state.readers.peek(), seq, delivered_count, read_count, member_count);
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
      loadGroups().catch(showError);
    }),
    client.on("invitation", () => {
      loadInvitations().catch(showError);
    }),
  ];
  copier = new Copier(userID);
  copier.start();
  connection.value = client.state;
  client.connect();
  if (!startedOffline.peek()) {
    loadAll();
  }
}

/** loadAll requests the data that the server does not send over the WebSocket. */
function loadAll(): void {
  loadChannels().catch(showError);
  loadInvitations().catch(showError);
  loadBlocks().catch(showError);
  loadGroups().catch(showError);
}

export function end(): void {
  offs.forEach((off) => off());
  offs = [];
  copier?.stop();
  copier = undefined;
  startedOffline.value = false;
  closeDialog();
  dropClient();
  forgetChannels();
  forgetDepartures();
  invitations.value = [];
  forgetBlocks();
  forgetGroups();
  forgetPeople();
}

/** quit leaves or deletes a channel without showing the notice that the user was removed. */
export async function quit(channelID: string, work: () => Promise<unknown>): Promise<void> {
  leaving = channelID;
  try {
    await work();
    const state = channels.peek().get(channelID);
    if (state !== undefined) {
      recordDeparture(state, "left");
    }
    removeChannel(channelID);
  } finally {
    leaving = undefined;
  }
}

/**
 * messagesOf returns the channel's waiting and failed messages. Waiting edits and reactions have no
 * rows of their own.
 */
const messagesOf = (state: ChannelState) => state.handle.pending.filter((p) => p.kind === "send");

function syncCounts(state: ChannelState): void {
  state.setCounts(state.handle.unread, state.handle.unreadMentions);
}

function handleEvent(state: ChannelState, event: ChannelEvent, userID: string): void {
  fold(state, event);
  if (event.mine) {
    // The pending message is now in the log. Remove it from the pending messages in the same batch,
    // so that the message keeps its row.
    state.pending.value = messagesOf(state);
  }
  switch (event.type) {
    case "message":
      learn(event.sender_id, { username: event.sender_name });
      state.activeAt.value = Date.parse(event.sent_at);
      // A message from a member ends that member's typing indicator.
      state.typists.value = state.typists.peek().filter((id) => id !== event.sender_id);
      markNewMessages(state, event);
      notifyOfMessage(state, event);
      if (!event.mine && openState.peek() === state) {
        announce(event);
      }
      return;
    case "channel_updated":
      handleUpdate(state, event.channel, userID);
      return;
    case "member_joined":
    case "member_left":
      learn(event.user_id, { username: event.username });
      if (event.type === "member_left") {
        state.readers.value = withoutMember(state.readers.peek(), event.user_id);
      }
      handleMembership(state, event.type === "member_joined" ? 1 : -1);
      return;
    default:
      return;
  }
}

/**
 * markNewMessages draws the "New messages" line before the first message that arrives while the
 * page has no focus or a dialog covers the messages.
 */
function markNewMessages(state: ChannelState, event: ChannelEvent): void {
  const away = !document.hasFocus() || covered.peek();
  if (!event.mine && openState.peek() === state && away && state.newAfter.peek() === undefined) {
    state.newAfter.value = event.seq - 1;
  }
}

/** handleUpdate applies a channel_updated event: changed details, or a member's new role. */
function handleUpdate(state: ChannelState, now: Readonly<Record<string, unknown>>, userID: string): void {
  const change = roleChangeOf(now["member"]);
  if (change !== undefined) {
    handleRole(state, change, userID);
    return;
  }
  const details = state.details.peek();
  if (details !== undefined) {
    const name = typeof now["name"] === "string" ? now["name"] : details.name;
    const description = typeof now["description"] === "string" ? now["description"] : details.description;
    const mention_all = now["mention_all"] === "admins" || now["mention_all"] === "everyone" ? now["mention_all"] : details.mention_all;
    state.details.value = { ...details, name, description, mention_all };
  }
}

interface RoleChange {
  readonly user_id: string;
  readonly role: Role;
}

const roleChangeOf = (member: unknown): RoleChange | undefined =>
  typeof member === "object" &&
  member !== null &&
  "user_id" in member &&
  "role" in member &&
  typeof member.user_id === "string" &&
  (member.role === "owner" || member.role === "admin" || member.role === "member")
    ? { user_id: member.user_id, role: member.role }
    : undefined;

function handleRole(state: ChannelState, change: RoleChange, userID: string): void {
  const details = state.details.peek();
  if (change.user_id === userID && details !== undefined && details.role !== change.role) {
    state.details.value = { ...details, role: change.role };
    toast(t().app.newRole(`#${state.title.peek()}`, t().common.roles[change.role]));
  }
  const members = state.members.peek();
  if (members !== undefined) {
    state.members.value = members.map((m) => (m.user_id === change.user_id ? { ...m, role: change.role } : m));
  }
}

const stale = new Set<ChannelState>();

function handleMembership(state: ChannelState, by: number): void {
  const details = state.details.peek();
  if (details !== undefined) {
    state.details.value = { ...details, member_count: Math.max(1, details.member_count + by) };
  }
  // Many members may join within a short time, so one reload of the list covers all of them.
  if (state.members.peek() !== undefined && !stale.has(state)) {
    stale.add(state);
    setTimeout(() => {
      stale.delete(state);
      state.outsidersVersion.value++; // an invited user may have joined
      loadMembers(state).catch(() => undefined);
    }, 500);
  }
}

/**
 * settled runs when the client is up to date, and requests the data that is available only then.
 */
async function settled(): Promise<void> {
  try {
    if (!channelsLoaded.peek()) {
      await loadChannels();
    }
    await Promise.all([...channels.peek().values()].filter((c) => c.details.peek() === undefined).map(refreshDetails));
    const direct = [...channels.peek().values()].filter((c) => c.kind === "direct");
    await Promise.all(direct.slice(0, MAX_DIRECT_PRESENCE).map(showPresence));
  } catch (error) {
    showError(error);
  }
}

/**
 * showPresence requests the list of online users. From then on, the SDK keeps the list up to date.
 */
export async function showPresence(state: ChannelState): Promise<void> {
  try {
    const online = await state.handle.presence();
    state.online.value = { count: online.count, users: new Set(online.users) };
  } catch {
    // Do not show an error. The page requests presence again after the next reconnection.
  }
}

