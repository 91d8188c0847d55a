/** Leaving and deleting channels. */

import { t } from "../i18n";
import type { ChannelState, UnreadMark } from "./channel-state";
import { addChannel } from "./channels";
import { sdk } from "./client";
import { ask, closeDialog, type Question } from "./dialog";
import { quit } from "./lifecycle";
import { setMark, unreadMarkOf } from "./reading";
import { navigate, openChannel, route } from "./route";
import { attempt, toast } from "./toasts";

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
  } else if (state.kind === "private") {
    ask({ ...questionAbout(state), text: withSuccessor(state, texts.private(name)) });
  } else if (state.role !== "member") {
    ask({ ...questionAbout(state), text: withSuccessor(state, texts.role(name, t().common.roles[state.role])) });
  } else {
    void leaveWithUndo(state);
  }
}

/**
 * withSuccessor returns a confirmation message, with a sentence about the next owner if the user is
 * an owner.
 */
const withSuccessor = (state: ChannelState, text: string): string => (state.role === "owner" ? `${text} ${t().leave.successor}` : text);

const questionAbout = (state: ChannelState): Omit<Question, "text"> => ({
  title: t().leave.title(state.title.peek()),
  action: t().channelDialog.leave,
  work: () => quitAndClose(state, () => sdk().rest.leaveChannel(state.id)),
});

async function leaveWithUndo(state: ChannelState): Promise<void> {
  const name = state.title.peek();
  const unread = unreadMarkOf(state);
  const left = await attempt(async () => {
    await quitAndClose(state, () => sdk().rest.leaveChannel(state.id));
    return true;
  });
  if (left === true) {
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
