/**
 * Tracks how far this user has read a channel. The position advances only past messages that were
 * on screen. "Mark as unread" moves it back only on this device, because the server's position
 * never moves back.
 */

import type { LoggedMessage } from "../lib/log";
import { countUnread, readThrough } from "../lib/seen";
import { store, stored } from "../lib/storage";
import type { ChannelState, UnreadMark } from "./channel-state";
import { myID } from "./me";

/**
 * Visit records what the user has done since the channel was opened: which messages they have seen,
 * and whether they have marked any as unread.
 */
interface Visit {
  /** The seqs of unread messages that were on screen. */
  readonly seen: Set<number>;
  /**
   * Whether the user has marked messages as unread. They stay unread until the channel is opened
   * again.
   */
  held: boolean;
}

const visits = new WeakMap<ChannelState, Visit>();

/** beginVisit is called when a channel is opened. */
export function beginVisit(state: ChannelState): void {
  visits.set(state, { seen: new Set(), held: false });
  state.newAfter.value = state.unread.peek() > 0 ? state.readSeq : undefined;
}

/** sawMessages records that the messages with these seqs are on screen. */
export function sawMessages(state: ChannelState, seqs: Iterable<number>): void {
  const visit = visits.get(state);
  const log = state.log.peek();
  if (visit === undefined || visit.held || log === undefined || log.fromCopy === true) {
    return;
  }
  const me = myID();
  const floor = state.readSeq;
  for (const seq of seqs) {
    if (seq > floor) {
      visit.seen.add(seq);
    }
  }
  const through = readThrough(log, floor, state.handle.position?.seq ?? 0, (m) => m.sender_id === me || visit.seen.has(m.seq));
  if (through > floor) {
    readUpTo(state, through);
    visit.seen.forEach((seq) => seq <= through && visit.seen.delete(seq));
  }
}

/** markRead marks the whole channel as read, whether or not it was on screen. */
export function markRead(state: ChannelState): void {
  const visit = visits.get(state);
  if (visit !== undefined) {
    visit.held = false;
  }
  state.newAfter.value = undefined;
  readUpTo(state, state.handle.lastSeq);
}

/** markUnread marks a message and everything after it as unread. */
export function markUnread(state: ChannelState, message: LoggedMessage): void {
  const log = state.log.peek();
  const visit = visits.get(state);
  if (log === undefined || visit === undefined) {
    return;
  }
  visit.held = true;
  visit.seen.clear();
  const read = state.serverReadSeq;
  const from = message.seq;
  setMark(state, from > read ? undefined : { from, count: countUnread(log, from, read, myID()) });
  state.newAfter.value = from - 1;
}

function readUpTo(state: ChannelState, seq: number): void {
  const log = state.log.peek();
  const read = state.serverReadSeq;
  if (state.mark.peek() !== undefined) {
    setMark(state, seq >= read || log === undefined ? undefined : { from: seq + 1, count: countUnread(log, seq + 1, read, myID()) });
  }
  if (state.handle.followed && seq > state.handle.readSeq) {
    state.handle.markRead(seq);
  }
}

const keyOf = (channelID: string): string => `unread.${myID()}.${channelID}`;

/** unreadMarkOf returns a mark for all of the channel's unread messages, or undefined if there are none. */
export function unreadMarkOf(state: ChannelState): UnreadMark | undefined {
  const count = state.unread.peek();
  return count === 0 ? undefined : { from: state.readSeq + 1, count };
}

export function setMark(state: ChannelState, mark: UnreadMark | undefined): void {
  state.mark.value = mark;
  store(keyOf(state.id), mark);
}

const isMark = (value: unknown): value is UnreadMark =>
  typeof value === "object" && value !== null && "from" in value && "count" in value && Number.isInteger(value.from) && Number.isInteger(value.count);

/** restoreMark restores the channel's unread mark from the browser's storage, if there is one. */
export function restoreMark(state: ChannelState): void {
  state.mark.value = stored(keyOf(state.id), undefined, (value): value is UnreadMark | undefined => isMark(value));
}
