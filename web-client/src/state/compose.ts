/** What the user is about to do in the open channel: answer, edit, go to a message. */

import { signal } from "@preact/signals";

import type { LoggedMessage } from "../lib/log";
import { keyOf, NEW_ROW } from "../lib/rows";
import type { ChannelState } from "./channel-state";
import { sdk } from "./client";
import { openAround } from "./history";
import { openChannel } from "./route";
import { myID } from "./session";
import { complain } from "./toasts";

export const replyingTo = signal<LoggedMessage | undefined>(undefined);
/** The id of the message that is being edited in its place. */
export const editing = signal<string | undefined>(undefined);

export interface Target {
  /** The key of the row to bring into sight; undefined: the newest. */
  readonly key: string | undefined;
  readonly flash: boolean;
  readonly focus: boolean;
}
/** Where the list of messages is asked to go. A new object each time, so that the same place can be asked for again. */
export const target = signal<Target | undefined>(undefined);
/** A channel was opened and its list is not yet where it shall be: what is in sight was not chosen, so it is not read. */
export const placing = signal(false);

/** Puts the cursor where one types. The composer says what to do when it is there. */
export const composerFocus = signal(0);
export const focusComposer = (): void => {
  composerFocus.value++;
};

export const toNewest = (): void => {
  target.value = { key: undefined, flash: false, focus: false };
};

/** Shows what is new: from its first message on if there is a line before it, else the newest. */
export function showNew(state: ChannelState): void {
  const newAfter = state.newAfter.peek();
  const first = state.log.peek()?.messages[0];
  if (newAfter !== undefined && first !== undefined && first.seq <= newAfter) {
    target.value = { key: NEW_ROW, flash: false, focus: false };
  } else {
    toNewest();
  }
}

export function reply(message: LoggedMessage): void {
  editing.value = undefined;
  replyingTo.value = message;
  focusComposer();
}

/** Edits a message; the keyboard stays with it. */
export function edit(message: LoggedMessage): void {
  editing.value = message.id;
  target.value = { key: keyOf(message, myID()), flash: false, focus: false };
}

/** Our last message that is not deleted, if the list holds one. */
export function lastOwn(state: ChannelState): LoggedMessage | undefined {
  const me = myID();
  return state.log.peek()?.messages.findLast((m) => m.sender_id === me && m.deleted_at === null);
}

/** Shows the message with a seq, from the server unless it is held. */
export async function showSeq(state: ChannelState, seq: number): Promise<void> {
  await openAround(state, seq);
  const message = state.log.peek()?.messages.find((m) => m.seq >= seq);
  if (message !== undefined) {
    target.value = { key: keyOf(message, myID()), flash: true, focus: false };
  } else {
    toNewest();
  }
}

/** Shows the message that another answers. Where it stands is asked for if it is not held: only its id is known. */
export async function showMessage(state: ChannelState, id: string): Promise<void> {
  const held = state.log.peek()?.messages.find((m) => m.id === id);
  try {
    const seq = held?.seq ?? (await sdk().rest.listReceipts(state.id, id, { limit: 1 })).seq;
    await showSeq(state, seq);
  } catch (error) {
    complain(error);
  }
}

/** Leaves whatever place of the history is shown for the newest. */
export function leavePlace(state: ChannelState): void {
  openChannel(state.id);
  toNewest();
}

export function resetCompose(): void {
  placing.value = true;
  replyingTo.value = undefined;
  editing.value = undefined;
  target.value = undefined;
}
