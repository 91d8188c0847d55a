/**
 * The user's current action in the open channel, such as replying, editing, or jumping to a
 * message.
 */

import { signal } from "@preact/signals";

import type { LoggedMessage } from "../lib/log";
import { keyOf, NEW_ROW } from "../lib/rows";
import type { ChannelState } from "./channel-state";
import { sdk } from "./client";
import { openAfter, openAround, openNewest } from "./history";
import { openChannel } from "./route";
import { myID } from "./me";
import { showError } from "./toasts";

/** The id of the message that is being edited in place. */
export const editing = signal<string | undefined>(undefined);

export interface Target {
  /** The key of the row to scroll to; undefined means the newest row. */
  readonly key: string | undefined;
  readonly flash: boolean;
  readonly focus: boolean;
}
/**
 * The position that the message list should show. Every request is a new object, so that the same
 * position can be requested again.
 */
export const target = signal<Target | undefined>(undefined);
/**
 * True until the message list of a newly opened channel has scrolled to its initial position. Until
 * then, the visible messages do not count as read.
 */
export const placing = signal(false);

/** Incremented to move the focus to the composer. */
export const composerFocus = signal(0);
export const focusComposer = (): void => {
  composerFocus.value++;
};

export const toNewest = (): void => {
  target.value = { key: undefined, flash: false, focus: false };
};

/**
 * showChannel shows the message with the given seq, or the new messages if there is no seq. If
 * nothing could be loaded, the channel stays empty.
 */
export async function showChannel(state: ChannelState, seq: number | undefined): Promise<void> {
  const after = state.newAfter.peek();
  await (seq !== undefined ? openAround(state, seq) : after !== undefined ? openAfter(state, after) : openNewest(state));
  if (state.log.peek() === undefined) {
    return;
  }
  if (seq === undefined) {
    showNew(state);
  } else {
    scrollTo(state, seq);
  }
}

/** showUnread draws the "New messages" line before the first unread message and scrolls to it. */
export async function showUnread(state: ChannelState): Promise<void> {
  const after = state.readSeq;
  state.newAfter.value = after;
  await openAfter(state, after);
  showNew(state);
}

/**
 * showNew scrolls to the "New messages" line if there is one, and to the newest message otherwise.
 */
function showNew(state: ChannelState): void {
  if (state.newAfter.peek() === undefined) {
    toNewest();
  } else {
    target.value = { key: NEW_ROW, flash: false, focus: false };
  }
}

export function reply(state: ChannelState, message: LoggedMessage): void {
  editing.value = undefined;
  state.replyingTo.value = message;
  focusComposer();
}

/** edit starts editing a message in place, with the focus in its field. */
export function edit(message: LoggedMessage): void {
  editing.value = message.id;
  revealRow(message);
}

/** revealRow scrolls a message's row into view by the smallest possible distance. */
export function revealRow(message: LoggedMessage): void {
  target.value = { key: keyOf(message, myID()), flash: false, focus: false };
}

/** lastOwn returns the user's newest message in the log that is not deleted. */
export function lastOwn(state: ChannelState): LoggedMessage | undefined {
  const me = myID();
  return state.log.peek()?.messages.findLast((m) => m.sender_id === me && m.deleted_at === null);
}

/** showSeq scrolls to the message with the given seq, loading it if necessary. */
export async function showSeq(state: ChannelState, seq: number): Promise<void> {
  await openAround(state, seq);
  scrollTo(state, seq);
}

function scrollTo(state: ChannelState, seq: number): void {
  const message = state.log.peek()?.messages.find((m) => m.seq >= seq);
  if (message !== undefined) {
    target.value = { key: keyOf(message, myID()), flash: true, focus: false };
  } else {
    toNewest();
  }
}

/**
 * showMessage scrolls to the message with the given id. If the message is not in the log,
 * showMessage requests its seq from the server.
 */
export async function showMessage(state: ChannelState, id: string): Promise<void> {
  const held = state.log.peek()?.messages.find((m) => m.id === id);
  try {
    const seq = held?.seq ?? (await sdk().rest.listReceipts(state.id, id, { limit: 1 })).seq;
    await showSeq(state, seq);
  } catch (error) {
    showError(error);
  }
}

/** returnToNewest removes any linked message from the address and scrolls to the newest message. */
export function returnToNewest(state: ChannelState): void {
  openChannel(state.id);
  toNewest();
}

export function resetCompose(): void {
  placing.value = true;
  editing.value = undefined;
  target.value = undefined;
}
