/** Computes a user's read position in a channel from the messages that were on screen. */

import { firstSeq, indexOfSeq, type LoggedMessage, type MessageLog } from "./log";

/**
 * readThrough returns the seq up to which everything has been read. It starts at the seq `floor`
 * and stops before the first message that has not been read. If even the newest message has been
 * read, it returns `end`, the seq of the channel's newest event. Messages that the log does not
 * contain count as not read.
 */
export function readThrough(log: MessageLog, floor: number, end: number, isRead: (message: LoggedMessage) => boolean): number {
  if (!reaches(log, floor)) {
    return floor;
  }
  const { messages } = log;
  let through = floor;
  for (let i = indexOfSeq(messages, floor + 1); i < messages.length; i++) {
    const message = messages[i];
    if (message === undefined || !isRead(message)) {
      return through;
    }
    through = message.seq;
  }
  return log.atNewest ? Math.max(through, end) : through;
}

/**
 * reaches reports whether the log contains every message between the seq `floor` and the log's last
 * message.
 */
export const reaches = (log: MessageLog, floor: number): boolean => log.atOldest || (log.messages.length > 0 && firstSeq(log) <= floor + 1);

/**
 * firstUnread returns the first message from another user after the seq `floor`, if the log
 * contains it.
 */
export function firstUnread(log: MessageLog, floor: number, me: string): LoggedMessage | undefined {
  if (!reaches(log, floor)) {
    return undefined;
  }
  for (let i = indexOfSeq(log.messages, floor + 1); i < log.messages.length; i++) {
    const message = log.messages[i];
    if (message !== undefined && isUnread(message, me)) {
      return message;
    }
  }
  return undefined;
}

/**
 * countUnread returns the number of messages in the log, with seqs from `from` to `to`, that the
 * server counts as unread.
 */
export const countUnread = (log: MessageLog, from: number, to: number, me: string): number =>
  log.messages.filter((m) => m.seq >= from && m.seq <= to && isUnread(m, me)).length;

const isUnread = (message: LoggedMessage, me: string): boolean => message.sender_id !== me && message.deleted_at === null;
