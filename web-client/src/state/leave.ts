/** Leaving and deleting channels. */

import type { Member } from "@parley/client";

import { t } from "../i18n";
import type { ChannelState, UnreadMark } from "./channel-state";
import { addChannel, loadMembers } from "./channels";
import { sdk } from "./client";
import { ask, closeDialog, type Question } from "./dialog";
import { quit } from "./lifecycle";
import { myID } from "./me";
import { nameOf, person } from "./people";
import { setMark, unreadMarkOf } from "./reading";
import { navigate, openChannel, route } from "./route";
import { attempt, succeeds, toast } from "./toasts";

/**
 * leaveChannel leaves a channel. It asks for confirmation if the user could not simply join again:
 * if the user is the last member or has a role, or if the channel is private. Otherwise, it leaves
 * immediately and offers to undo that.
 */
export function leaveChannel(state: ChannelState): void {
  const texts = t().leave;
  const name = state.title.peek();
  const alone = (state.details.peek()?.member_count ?? 0) <= 1;
  if (alone) {
    const alternative = state.role === "owner" ? { alternative: { action: t().channelDialog.delete, choose: () => askToDelete(state) } } : {};
    ask({ ...questionAbout(state), text: texts.last(name), ...alternative });
  } else if (state.kind === "private" || state.role !== "member") {
    const text = state.kind === "private" ? texts.private(name) : texts.role(name, t().common.roles[state.role]);
    if (state.role === "owner") {
      void attempt(() => askOwner(state, text));
    } else {
      ask({ ...questionAbout(state), text });
    }
  } else {
    void leaveWithUndo(state);
  }
}

/** askOwner asks for confirmation, and says who becomes the owner if the user is the only one. */
async function askOwner(state: ChannelState, text: string): Promise<void> {
  await loadMembers(state);
  const members = state.members.peek() ?? [];
  const texts = t().leave;
  let about = texts.someSuccessor; // the list of a large channel is not complete
  if (members.length >= (state.details.peek()?.member_count ?? 0)) {
    const next = successor(members, myID());
    about = next === undefined ? "" : texts.successor(nameOf(person(next.user_id).peek(), next.username));
  }
  ask({ ...questionAbout(state), text: `${text} ${about}`.trim() });
}

/**
 * successor returns the member who becomes the owner if this user leaves: the longest-standing
 * admin or, if there are no admins, the longest-standing member. It returns undefined if there is
 * another owner. The server applies the same rule.
 */
export function successor(members: readonly Member[], me: string): Member | undefined {
  const others = members.filter((m) => m.user_id !== me);
  if (others.some((m) => m.role === "owner")) {
    return undefined;
  }
  const admins = others.filter((m) => m.role === "admin");
  const order = (m: Member): string => `${m.joined_at} ${m.user_id}`;
  return [...(admins.length > 0 ? admins : others)].sort((a, b) => (order(a) < order(b) ? -1 : 1))[0];
}

const questionAbout = (state: ChannelState): Omit<Question, "text"> => ({
  title: t().leave.title(state.title.peek()),
  action: t().channelDialog.leave,
  work: () => quitAndClose(state, () => sdk().rest.leaveChannel(state.id)),
});

async function leaveWithUndo(state: ChannelState): Promise<void> {
  const name = state.title.peek();
  const unread = unreadMarkOf(state);
  if (await succeeds(() => quitAndClose(state, () => sdk().rest.leaveChannel(state.id)))) {
    toast(t().leave.left(name), "info", { label: t().common.undo, run: () => void rejoin(state.id, unread) });
  }
}

/**
 * rejoin undoes leaving a channel. The server treats all messages from before a user joined as
 * read. So rejoin restores the unread mark on this device for the messages that the user had not
 * read.
 */
async function rejoin(channelID: string, unread: UnreadMark | undefined): Promise<void> {
  const details = await attempt(() => sdk().rest.joinChannel(channelID));
  if (details !== undefined) {
    setMark(addChannel(details), unread);
    openChannel(channelID);
  }
}

/**
 * askToDelete asks the user to type the channel's name before it deletes the channel for everyone.
 */
export function askToDelete(state: ChannelState): void {
  const name = state.title.peek();
  ask({
    title: t().deleteChannel.title(name),
    text: t().deleteChannel.text(state.details.peek()?.member_count ?? 1),
    action: t().channelDialog.deleteForEveryone,
    typed: name,
    work: () => quitAndClose(state, () => sdk().rest.deleteChannel(state.id)),
  });
}

/** quitAndClose leaves or deletes a channel and, if it is open, shows the channel list. */
async function quitAndClose(state: ChannelState, work: () => Promise<unknown>): Promise<void> {
  await quit(state.id, work);
  closeDialog();
  const at = route.peek();
  if (at.name === "channel" && at.channelID === state.id) {
    navigate({ name: "home" });
  }
}
