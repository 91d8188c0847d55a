/**
 * Reads a channel's history into its log and applies the channel's events to it.
 *
 * Events that arrive while a page is being read may or may not be in the page. So they are buffered
 * and applied again after the page has been merged. Applying the same events in the same order
 * always gives the same result.
 */

import { ApiError, type ChannelEvent, type Message } from "@parley/client";
import { signal } from "@preact/signals";

import { logOf } from "../lib/channel-copy";
import { apply, cutAfter, EMPTY, extend, firstSeq, lastSeq, type MessageLog, prepend } from "../lib/log";
import { reaches } from "../lib/seen";
import type { ChannelState } from "./channel-state";
import { refreshDetails } from "./channels";
import { sdk } from "./client";
import { serverUnreachable } from "./connection";
import { copiedChannel } from "./offline-store";
import { knowNames, learn } from "./people";
import { requestReaders } from "./receipts";
import { showError } from "./toasts";

const PAGE = 60; // messages per request
const RETRY_DELAY_MS = 3000;

type Side = "older" | "newer" | "whole";

/** Reader tracks the reads of one channel's history. */
class Reader {
  /** The reads in progress. */
  readonly busy = signal<ReadonlySet<Side>>(new Set());
  /** The events that arrived during the current reads, in order. */
  readonly buffered: ChannelEvent[] = [];
  /** If the log reaches the newest message, it contains every event up to this seq. */
  knownSeq = 0;
  /**
   * Incremented when the log is replaced. A page that was requested for an older generation is
   * discarded.
   */
  generation = 0;
  notBefore = 0; // the earliest time of the next read after a failure
  /** Repeats the most recent read of the whole log, if that read failed. */
  readonly retry = signal<(() => Promise<void>) | undefined>(undefined);
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

/** A failed read of a channel's log. */
export interface FailedRead {
  readonly retry: () => Promise<void>;
  /** The time to wait before the next attempt, in milliseconds. */
  readonly delay: number;
}

/**
 * failedRead returns the most recent read of the channel's log if that read failed, for example
 * while offline.
 */
export function failedRead(state: ChannelState): FailedRead | undefined {
  const { retry, notBefore } = readerOf(state);
  return retry.value === undefined ? undefined : { retry: retry.value, delay: Math.max(0, notBefore - Date.now()) };
}

/**
 * openNewest loads the newest messages, unless the log already reaches them and reload is false.
 */
export async function openNewest(state: ChannelState, reload = false): Promise<void> {
  if (!reload && state.log.peek()?.atNewest === true && failedRead(state) === undefined) {
    return;
  }
  await read(state, "whole", { limit: PAGE }, (_, page) => ({ messages: page, atOldest: page.length < PAGE, atNewest: true }));
}

/** openAround loads the messages around a seq, for a link to a message. */
export async function openAround(state: ChannelState, seq: number): Promise<void> {
  const log = state.log.peek();
  if (log !== undefined && seq >= firstSeq(log) && seq <= lastSeq(log) && failedRead(state) === undefined) {
    return;
  }
  await readAround(state, seq);
}

/**
 * openAfter loads the messages around the first message after a seq, unless the log contains that
 * message.
 */
export async function openAfter(state: ChannelState, seq: number): Promise<void> {
  const log = state.log.peek();
  if (log === undefined || !reaches(log, seq) || lastSeq(log) <= seq || failedRead(state) !== undefined) {
    await readAround(state, Math.max(1, seq));
  }
}

async function readAround(state: ChannelState, seq: number): Promise<void> {
  await read(state, "whole", { around: seq, limit: PAGE }, (_, page) => {
    const after = page.filter((m) => m.seq > seq).length;
    return { messages: page, atOldest: page.length - after < PAGE / 2, atNewest: after < PAGE / 2 };
  });
}

export async function readOlder(state: ChannelState): Promise<void> {
  const log = state.log.peek();
  if (log !== undefined && !log.atOldest && log.fromCopy !== true && log.messages.length > 0) {
    await read(state, "older", { before_seq: firstSeq(log), limit: PAGE }, (held, page) => prepend(held, page, PAGE));
  }
}

export async function readNewer(state: ChannelState): Promise<void> {
  const log = state.log.peek();
  if (log !== undefined && !log.atNewest && log.fromCopy !== true) {
    await read(state, "newer", { after_seq: lastSeq(log), limit: PAGE }, (held, page) => extend(held, page, PAGE));
  }
}

interface Query {
  readonly limit: number;
  readonly before_seq?: number;
  readonly after_seq?: number;
  readonly around?: number;
}

async function read(
  state: ChannelState,
  side: Side,
  query: Query,
  merge: (held: MessageLog, page: readonly Message[]) => MessageLog,
): Promise<void> {
  const reader = readerOf(state);
  if (side !== "whole" && (reader.busy.peek().size > 0 || Date.now() < reader.notBefore)) {
    return;
  }
  const generation = side === "whole" ? ++reader.generation : reader.generation;
  if (side === "whole" && showCopy(state)) {
    reader.retry.value = () => read(state, side, query, merge);
    reader.busy.value = new Set(); // of an earlier read, which the new generation discards
    reader.buffered.length = 0;
    return;
  }
  // A `whole` read replaces the log, so pages requested for the old log are discarded.
  reader.busy.value = side === "whole" ? new Set([side]) : new Set(reader.busy.peek()).add(side);
  if (side === "whole") {
    reader.retry.value = undefined;
  }
  try {
    const page = (await sdk().rest.listMessages(state.id, query)).items;
    if (generation !== reader.generation) {
      return;
    }
    for (const m of page) {
      learn(m.sender_id, m.sender_deleted === true ? { deleted: true } : { username: m.sender_name });
    }
    await knowNames(page.map((m) => m.sender_id));
    if (generation !== reader.generation) {
      return;
    }
    const merged = merge(state.log.peek() ?? EMPTY, page);
    state.log.value = reader.buffered.reduce(apply, merged);
    reader.knownSeq = Math.max(reader.knownSeq, lastSeq(state.log.peek() ?? EMPTY));
    if (side === "whole") {
      // If this request fails, the messages' status icons do not change until the next receipt
      // arrives.
      requestReaders(state).catch(() => undefined);
    }
  } catch (error) {
    reader.notBefore = Date.now() + RETRY_DELAY_MS;
    if (side === "whole" && generation === reader.generation) {
      reader.retry.value = () => read(state, side, query, merge);
    }
    if (error instanceof ApiError && (error.status === 403 || error.status === 404)) {
      // A user who joins and is removed immediately may receive neither the join event nor the
      // removal event. Reading the details removes the channel from the list.
      void refreshDetails(state);
    }
    // If the pane is empty, it already shows that the messages could not be loaded.
    if (state.log.peek() !== undefined) {
      showError(error);
    }
  } finally {
    if (generation === reader.generation) {
      const rest = new Set(reader.busy.peek());
      rest.delete(side);
      reader.busy.value = rest;
      if (rest.size === 0) {
        reader.buffered.length = 0;
      }
    }
  }
}

/**
 * showCopy fills the channel's log from the offline copy while the server is unreachable. It does
 * nothing if there is no copy or if the log has already been read from the server. If the log
 * contains the copy, showCopy returns true. The log is then in the same state as after a failed
 * read.
 */
function showCopy(state: ChannelState): boolean {
  const log = state.log.peek();
  if ((log !== undefined && log.fromCopy !== true) || !serverUnreachable()) {
    return false;
  }
  if (log === undefined) {
    const copy = copiedChannel(state.id);
    if (copy === undefined) {
      return false;
    }
    copy.people.forEach((p) => learn(p.id, p));
    state.log.value = logOf(copy);
  }
  return true;
}

/**
 * knownSeq returns the seq up to which the log contains every event, if the log reaches the newest
 * message.
 */
export const knownSeq = (state: ChannelState): number => readerOf(state).knownSeq;

/** fold applies an event to the channel's log, if it is loaded. */
export function fold(state: ChannelState, event: ChannelEvent): void {
  const reader = readerOf(state);
  reader.knownSeq = Math.max(reader.knownSeq, event.seq);
  if (reader.busy.peek().size > 0) {
    reader.buffered.push(event);
  }
  const log = state.log.peek();
  if (log !== undefined) {
    state.log.value = apply(log, event);
  }
}

/**
 * followedFrom is called when the channel is followed from seq onwards. It reads the events between
 * the log and seq, if there are any.
 */
export function followedFrom(state: ChannelState, seq: number): void {
  const reader = readerOf(state);
  const log = state.log.peek();
  if (log?.atNewest === true && (log.fromCopy === true || reader.knownSeq < seq)) {
    reader.knownSeq = seq;
    // If the log is from the offline copy, repeat the read that the copy replaced. It may have been
    // a read of the messages around a linked message.
    const retry = log.fromCopy === true ? reader.retry.peek() : undefined;
    void (retry === undefined ? openNewest(state, true) : retry());
  }
}

/**
 * reloadAfter handles a gap after seq: it discards everything after seq and reads the newest page
 * again.
 */
export function reloadAfter(state: ChannelState, seq: number): void {
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
