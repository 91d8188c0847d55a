/**
 * A bounded copy of a channel's newest messages, which the page stores to show it while the server
 * is unreachable: see `state/offline-copy.ts`.
 */

import type { ChannelEvent } from "@parley/client";

import { apply, type LoggedMessage, type MessageLog } from "./log";

/** MAX_MESSAGES is the maximum number of messages in a copy. */
export const MAX_MESSAGES = 50;
/** MAX_LENGTH is the maximum length of a copy's messages as JSON, in UTF-16 code units. */
export const MAX_LENGTH = 32_768;

export interface ChannelCopy {
  /** In ascending order of seq. */
  readonly messages: readonly LoggedMessage[];
  /** Whether there are no messages before the first one. */
  readonly atOldest: boolean;
  /** Every event up to this seq has been applied to the copy. */
  readonly through: number;
}

/**
 * copyOf returns a copy of a log that reaches the newest message. `through` is the seq of the last
 * event that was applied to the log.
 */
export function copyOf(log: MessageLog, through: number): ChannelCopy {
  let length = 0;
  let first = log.messages.length;
  for (; first > 0 && log.messages.length - first < MAX_MESSAGES; first--) {
    length += JSON.stringify(log.messages[first - 1]).length;
    if (length > MAX_LENGTH) {
      break;
    }
  }
  return { messages: log.messages.slice(first), atOldest: log.atOldest && first === 0, through };
}

/**
 * withEvents applies events to a copy. If events are missing between the copy and the given events,
 * it applies edits, deletions and reactions but adds no messages, so that the copy has no gap.
 */
export function withEvents(copy: ChannelCopy, events: readonly ChannelEvent[]): ChannelCopy {
  let { through } = copy;
  let log: MessageLog = { ...copy, atNewest: true };
  for (const event of events.filter((e) => e.seq > copy.through)) {
    const isNext = event.seq === through + 1;
    log = { ...apply({ ...log, atNewest: isNext }, event), atNewest: true };
    through = isNext ? event.seq : through;
  }
  return copyOf(log, through);
}

/** logOf returns the copy as a log, which is shown until the server can be reached. */
export const logOf = ({ messages, atOldest }: ChannelCopy): MessageLog => ({ messages, atOldest, atNewest: true, fromCopy: true });
