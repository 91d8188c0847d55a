/**
 * The log holds the loaded messages of a channel, which form one contiguous range of its history.
 * The functions here apply the channel's events to the log. Every function returns a new log, or
 * the same object if nothing changes.
 */

import type { ChannelEvent, Message } from "@parley/client";

/**
 * LoggedMessage is a message with the seq of the edit that it shows, if that edit arrived as an
 * event.
 */
export type LoggedMessage = Message & { readonly edit_seq?: number };

export interface MessageLog {
  /** In ascending order of seq. */
  readonly messages: readonly LoggedMessage[];
  /** Whether there are no messages before the first one. */
  readonly atOldest: boolean;
  /** Whether there are no messages after the last one, so that new messages are appended. */
  readonly atNewest: boolean;
  /**
   * Whether the messages are from the offline copy. If so, messages and changes may be missing, no
   * pages are added to the log, and viewing the messages does not mark them as read.
   */
  readonly fromCopy?: true;
}

export const EMPTY: MessageLog = { messages: [], atOldest: false, atNewest: false };

export const firstSeq = (log: MessageLog): number => log.messages[0]?.seq ?? 0;
export const lastSeq = (log: MessageLog): number => log.messages.at(-1)?.seq ?? 0;

/**
 * indexOfSeq returns the index of the message with the given seq, or the index at which it would be
 * inserted.
 */
export function indexOfSeq(messages: readonly LoggedMessage[], seq: number): number {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((messages[middle]?.seq ?? 0) < seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/**
 * prepend adds a page of messages that precede the log's first one. A page shorter than `limit`
 * reaches the beginning of the channel.
 */
export function prepend(log: MessageLog, page: readonly Message[], limit: number): MessageLog {
  const first = firstSeq(log);
  const older = log.messages.length === 0 ? page : page.filter((m) => m.seq < first);
  return { ...log, messages: [...older, ...log.messages], atOldest: page.length < limit };
}

/** extend adds a page of messages that follow the log's last one. */
export function extend(log: MessageLog, page: readonly Message[], limit: number): MessageLog {
  const last = lastSeq(log);
  const newer = page.filter((m) => m.seq > last);
  return { ...log, messages: [...log.messages, ...newer], atNewest: page.length < limit };
}

/** cutAfter removes the messages after seq, because the server has lost them. */
export function cutAfter(log: MessageLog, seq: number): MessageLog {
  return lastSeq(log) <= seq ? log : { ...log, messages: log.messages.slice(0, indexOfSeq(log.messages, seq + 1)) };
}

/** apply applies an event to the log. */
export function apply(log: MessageLog, event: ChannelEvent): MessageLog {
  switch (event.type) {
    case "message":
      if (!log.atNewest || event.seq <= lastSeq(log)) {
        return log;
      }
      return { ...log, messages: [...log.messages, messageOf(event)] };
    case "edit":
      return change(log, event.message_id, (m) =>
        m.deleted_at !== null || event.seq <= (m.edit_seq ?? 0)
          ? m
          : { ...m, body: event.body, mentions: event.mentions ?? [], edited_at: event.sent_at, edit_seq: event.seq },
      );
    case "delete":
      return change(log, event.message_id, (m) => (m.deleted_at !== null ? m : { ...m, body: "", mentions: [], reactions: [], deleted_at: event.sent_at }));
    case "reaction":
      return change(log, event.message_id, (m) => (m.deleted_at !== null ? m : react(m, event.emoji, event.sender_id, event.remove)));
    default:
      return log;
  }
}

function messageOf(event: ChannelEvent & { readonly type: "message" }): LoggedMessage {
  return {
    id: event.id,
    channel_id: event.channel_id,
    seq: event.seq,
    client_id: event.client_id ?? null,
    sender_id: event.sender_id,
    sender_name: event.sender_name,
    body: event.body,
    mentions: event.mentions,
    reply_to: event.reply_to,
    sent_at: event.sent_at,
    edited_at: null,
    deleted_at: null,
    reactions: [],
  };
}

function change(log: MessageLog, id: string, to: (message: LoggedMessage) => LoggedMessage): MessageLog {
  // Most edits and reactions concern recent messages, so search from the end.
  const index = log.messages.findLastIndex((m) => m.id === id);
  const message = log.messages[index];
  if (message === undefined) {
    return log;
  }
  const changed = to(message);
  return changed === message ? log : { ...log, messages: log.messages.with(index, changed) };
}

function react(message: LoggedMessage, emoji: string, userID: string, remove: boolean): LoggedMessage {
  const reaction = message.reactions.find((r) => r.emoji === emoji);
  const has = reaction?.user_ids.includes(userID) ?? false;
  // A history page lists only the first users who added a reaction. If a reaction lists fewer users
  // than it counts, assume that the event changes the count.
  const listed = reaction === undefined || reaction.user_ids.length === reaction.count;
  if (has !== remove && (listed || !remove)) {
    return message;
  }
  if (reaction === undefined) {
    return { ...message, reactions: [...message.reactions, { emoji, count: 1, user_ids: [userID] }] };
  }
  const users = remove ? reaction.user_ids.filter((id) => id !== userID) : [...reaction.user_ids, userID];
  const reactions = message.reactions
    .map((r) => (r === reaction ? { emoji, count: r.count + (remove ? -1 : 1), user_ids: users } : r))
    .filter((r) => r.count > 0);
  return { ...message, reactions };
}
