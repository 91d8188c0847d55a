/**
 * The rows of a message list: messages grouped by author, day separators, and the "New messages"
 * line.
 */

import type { Pending } from "@parley/client";

import { dayOf } from "./dates";
import { MAX_LINES } from "./fold";
import type { LoggedMessage, MessageLog } from "./log";

/**
 * Messages from the same author within this interval form a group. Only the first message of a
 * group shows the author.
 */
const GROUP_MS = 5 * 60_000;

export type Row =
  | { readonly kind: "beginning"; readonly key: string }
  | { readonly kind: "loading"; readonly key: string }
  | { readonly kind: "day"; readonly key: string; readonly ms: number }
  | { readonly kind: "new"; readonly key: string }
  | { readonly kind: "message"; readonly key: string; readonly message: LoggedMessage; readonly ms: number; readonly head: boolean }
  | { readonly kind: "pending"; readonly key: string; readonly pending: Pending; readonly ms: number; readonly head: boolean };

/** The key of the "New messages" line; there is at most one. */
export const NEW_ROW = "new";

const times = new WeakMap<LoggedMessage, number>();

/**
 * sentMs returns the time when a message was sent, in milliseconds since 1970. The result is
 * cached, because the rows are recomputed from up to 10,000 messages after every event.
 */
export function sentMs(message: LoggedMessage): number {
  let ms = times.get(message);
  if (ms === undefined) {
    ms = Date.parse(message.sent_at);
    times.set(message, ms);
  }
  return ms;
}

/**
 * keyOf returns the key of a message. A pending message keeps its key when it becomes a message in
 * the log, so its row stays the same element.
 */
export function keyOf(message: LoggedMessage, me: string): string {
  return message.sender_id === me && message.client_id !== null ? message.client_id : message.id;
}

export interface RowsInput {
  readonly log: MessageLog;
  readonly pending: readonly Pending[];
  readonly me: string;
  /**
   * The "New messages" line is drawn before the first message from another user after this seq;
   * undefined means no line.
   */
  readonly readSeq: number | undefined;
}

export function rowsOf({ log, pending, me, readSeq }: RowsInput): readonly Row[] {
  const rows: Row[] = [{ kind: log.atOldest ? "beginning" : "loading", key: "top" }];
  let day = 0;
  let author = "";
  let last = 0;
  let line = readSeq === undefined;
  /**
   * begin adds a day separator where a new day starts, and reports whether the next row starts a
   * group.
   */
  const begin = (ms: number, by: string, alone: boolean): boolean => {
    const today = dayOf(ms);
    // Clocks differ, so a later message may have an earlier time. Do not go back to an earlier day.
    if (today > day) {
      day = today;
      author = "";
      rows.push({ kind: "day", key: `day-${today}`, ms });
    }
    const head = alone || by !== author || ms - last > GROUP_MS;
    author = by;
    last = ms;
    return head;
  };
  for (const message of log.messages) {
    const ms = sentMs(message);
    const head = begin(ms, message.sender_id, message.reply_to !== null);
    const isFirstNew = !line && message.seq > (readSeq ?? 0) && message.sender_id !== me;
    if (isFirstNew) {
      line = true;
      rows.push({ kind: "new", key: NEW_ROW });
    }
    rows.push({ kind: "message", key: keyOf(message, me), message, ms, head: head || isFirstNew });
  }
  if (!log.atNewest) {
    rows.push({ kind: "loading", key: "bottom" });
    return rows;
  }
  for (const p of pending) {
    const ms = p.createdAt;
    const head = begin(ms, me, p.replyTo !== undefined);
    rows.push({ kind: "pending", key: p.clientID, pending: p, ms, head });
  }
  return rows;
}

/** estimate returns the estimated height, in pixels, of a row that has not been measured. */
export function estimate(row: Row): number {
  switch (row.kind) {
    case "beginning":
      return 120;
    case "loading":
      return 48;
    case "day":
    case "new":
      return 32;
    case "pending":
      return heightOf(row.head, row.pending.body);
    case "message":
      return heightOf(row.head, row.message.body) + (row.message.reactions.length > 0 ? 30 : 0);
  }
}

/**
 * heightOf estimates the height of a message, in pixels. It assumes about 70 characters per line.
 */
function heightOf(head: boolean, body: string): number {
  return (head ? 60 : 26) + 22 * Math.min(MAX_LINES, Math.floor(body.length / 70));
}
