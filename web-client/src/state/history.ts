/**
 * Reads a channel's history into its log, and folds the channel's events into what was read.
 *
 * A page and the events that come while it is on its way may overlap in any way. So events are kept while a page is
 * read and folded in again after it: the fold of the same events in the same order ends in the same state.
 */

import type { ChannelEvent, Message } from "@parley/client";
import { signal } from "@preact/signals";

import { apply, cutAfter, EMPTY, extend, firstSeq, lastSeq, type MessageLog, prepend } from "../lib/log";
import type { ChannelState } from "./channel-state";
import { sdk } from "./client";
import { learn } from "./people";
import { myID } from "./session";
import { complain } from "./toasts";

const PAGE = 60;
const RETRY_MS = 3000;

type Side = "older" | "newer" | "whole";

/** What is kept beside a channel's log while it is read. */
class Reader {
  /** Which reads are under way. */
  readonly busy = signal<ReadonlySet<Side>>(new Set());
  /** The events of the last read's duration, in order. */
  readonly meanwhile: ChannelEvent[] = [];
  /** Everything up to here is in the log, if it reaches the newest. */
  knownSeq = 0;
  /** Counts the logs: a page that was asked for one that is replaced is thrown away. */
  generation = 0;
  notBefore = 0;
}

const readers = new WeakMap<ChannelState, Reader>();

function readerOf(state: ChannelState): Reader {
  let reader = readers.get(state);
  if (reader === undefined) {
    reader = new Reader();
    readers.set(state, reader);
  }
  return reader;
}

export const reading = (state: ChannelState): ReadonlySet<Side> => readerOf(state).busy.value;

/** Shows the newest messages, from the server unless they are held. */
export async function openNewest(state: ChannelState, anew = false): Promise<void> {
  if (!anew && state.log.peek()?.atNewest === true) {
    return;
  }
  await read(state, "whole", { limit: PAGE }, (_, page) => ({ messages: page, atOldest: page.length < PAGE, atNewest: true }));
  askReached(state);
}

/** Shows the messages around a seq: a link leads to it. */
export async function openAround(state: ChannelState, seq: number): Promise<void> {
  const log = state.log.peek();
  if (log !== undefined && seq >= firstSeq(log) && seq <= lastSeq(log)) {
    return;
  }
  await read(state, "whole", { around: seq, limit: PAGE }, (_, page) => {
    const after = page.filter((m) => m.seq > seq).length;
    return { messages: page, atOldest: page.length - after < PAGE / 2, atNewest: after < PAGE / 2 };
  });
}

export async function readOlder(state: ChannelState): Promise<void> {
  const log = state.log.peek();
  if (log !== undefined && !log.atOldest && log.messages.length > 0) {
    await read(state, "older", { before_seq: firstSeq(log), limit: PAGE }, (held, page) => prepend(held, page, PAGE));
  }
}

export async function readNewer(state: ChannelState): Promise<void> {
  const log = state.log.peek();
  if (log !== undefined && !log.atNewest) {
    await read(state, "newer", { after_seq: lastSeq(log), limit: PAGE }, (held, page) => extend(held, page, PAGE));
  }
}

interface Where {
  readonly limit: number;
  readonly before_seq?: number;
  readonly after_seq?: number;
  readonly around?: number;
}

async function read(
  state: ChannelState,
  side: Side,
  where: Where,
  merge: (held: MessageLog, page: readonly Message[]) => MessageLog,
): Promise<void> {
  const reader = readerOf(state);
  if (side !== "whole" && (reader.busy.peek().size > 0 || Date.now() < reader.notBefore)) {
    return;
  }
  const generation = side === "whole" ? ++reader.generation : reader.generation;
  // A read of the whole replaces the log, and with it whatever was on its way for the old one.
  reader.busy.value = side === "whole" ? new Set([side]) : new Set(reader.busy.peek()).add(side);
  try {
    const page = (await sdk().rest.listMessages(state.id, where)).items;
    if (generation !== reader.generation) {
      return;
    }
    for (const m of page) {
      learn(m.sender_id, m.sender_deleted === true ? { deleted: true } : { username: m.sender_name });
    }
    const merged = merge(state.log.peek() ?? EMPTY, page);
    state.log.value = reader.meanwhile.reduce(apply, merged);
    reader.knownSeq = Math.max(reader.knownSeq, lastSeq(state.log.peek() ?? EMPTY));
  } catch (error) {
    reader.notBefore = Date.now() + RETRY_MS;
    complain(error);
  } finally {
    if (generation === reader.generation) {
      const rest = new Set(reader.busy.peek());
      rest.delete(side);
      reader.busy.value = rest;
      if (rest.size === 0) {
        reader.meanwhile.length = 0;
      }
    }
  }
}

/** Folds an event in, if the channel's log is held. */
export function fold(state: ChannelState, event: ChannelEvent): void {
  const reader = readerOf(state);
  reader.knownSeq = Math.max(reader.knownSeq, event.seq);
  if (reader.busy.peek().size > 0) {
    reader.meanwhile.push(event);
  }
  const log = state.log.peek();
  if (log !== undefined) {
    state.log.value = apply(log, event);
  }
}

/** The channel is followed from seq on. What came between the page that we read and then is read now. */
export function followedFrom(state: ChannelState, seq: number): void {
  const reader = readerOf(state);
  if (state.log.peek()?.atNewest === true && reader.knownSeq < seq) {
    reader.knownSeq = seq;
    void openNewest(state, true);
  }
}

/** There is a hole after seq: what is beyond it is forgotten and read again. */
export function startOver(state: ChannelState, seq: number): void {
  const log = state.log.peek();
  if (log === undefined) {
    return;
  }
  readerOf(state).knownSeq = seq;
  state.log.value = cutAfter(log, seq);
  if (log.atNewest) {
    void openNewest(state, true);
  }
}

/** Receipts are news of the moment: after a page was read they are asked for. */
function askReached(state: ChannelState): void {
  const me = myID();
  const own = (state.log.peek()?.messages ?? []).filter((m) => m.sender_id === me && m.deleted_at === null);
  if (own.length > 0) {
    // Ticks stay as they are when it fails; the next receipt mends them.
    state.handle.askReached(own.map((m) => ({ id: m.id, seq: m.seq }))).catch(() => undefined);
  }
}
