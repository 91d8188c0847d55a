/** What a Client tells: the events of channels, and the news of the moment. */

import type { Channel } from "./channel.js";
import type { Pending } from "./pending.js";
import type { ClientError } from "./errors.js";
import type { GroupNotice, InvitationNotice, PresenceNotice, Receipt, ReceiptCounts, TypingNotice, WireEvent } from "./frames.js";

/** How much of a channel somebody has: everything up to seq, of this epoch. */
export interface Position {
  readonly seq: number;
  readonly epoch: string;
}

/** How far a message has come, in the order in which it passes them. It may skip some. */
export type SendStatus = "pending" | "sent" | "delivered" | "read" | "failed";

/**
 * An event of a channel's log: a message, an edit, a reaction, somebody's coming. Each seq of a channel
 * comes once, in order. `seq` and `epoch` are a Position to keep.
 */
export type ChannelEvent = WireEvent & {
  readonly epoch: string;
  /** This user has done it, here or elsewhere. */
  readonly mine: boolean;
};

/** A channel is followed from now on. The first event is the one after `from`; what is before is in the history. */
export interface Joined {
  readonly channel: Channel;
  readonly from: Position;
}

/** A channel is not followed any more. */
export interface Left {
  readonly channel: Channel;
  /** Who has put us out, if somebody has. */
  readonly by?: string;
  /** Why, if the server has refused the subscription. */
  readonly error?: ClientError;
}

/**
 * There is a hole, which cannot be closed event by event: forget what you hold of the channel beyond
 * `to.seq`, read the newest page of its history, and go on. The next event is the one after `to`.
 */
export interface Reset {
  readonly channel: Channel;
  readonly from: Position;
  readonly to: Position;
  /** The server has lost writes; otherwise more than `maxCatchUp` events were missed. */
  readonly lost: boolean;
}

/** What is unread in a channel has changed. */
export interface UnreadChange {
  readonly channel: Channel;
  /** Exact up to 999; 1000 means more. */
  readonly unread: number;
  readonly unreadMentions: number;
}

/** The other members have come further in a channel: this user's messages up to these seqs were delivered, and read. */
export interface ReachedChange {
  readonly channel: Channel;
  readonly delivered: number;
  readonly read: number;
}

/** How it is with the connection. */
export type ConnectionState =
  /** Nothing is tried: connect() was not called yet, or the browser says that there is no network. Then `retryAt` is the next try. */
  | { readonly name: "offline"; readonly retryAt?: number }
  | { readonly name: "connecting"; readonly attempt: number }
  /** It was lost, or is not to be had. `retryAt` (milliseconds since 1970) is when it is tried again. */
  | { readonly name: "reconnecting"; readonly retryAt: number; readonly attempt: number; readonly error?: Error }
  /** The server has greeted us; what was missed is on its way. */
  | { readonly name: "catching-up" }
  /** All that has happened was handed on. */
  | { readonly name: "up-to-date" }
  /** It is over; another Client is needed. */
  | { readonly name: "ended"; readonly reason: EndReason; readonly error?: Error };

export type EndReason =
  /** close() was called. */
  | "closed"
  /** There is no session: log in. */
  | "unauthenticated"
  /** The session was revoked, here or on another device: log in. */
  | "session-revoked"
  /** The browser's cookies are another user's now. */
  | "other-user"
  /** The server wants no more of this client. */
  | "refused";

/** The events of a Client, by name. */
export interface ClientEvents {
  state: ConnectionState;
  event: ChannelEvent;
  joined: Joined;
  left: Left;
  reset: Reset;
  /** How far something has come that was sent. */
  status: Pending;
  unread: UnreadChange;
  reached: ReachedChange;
  typing: TypingNotice;
  presence: PresenceNotice;
  receipt: Receipt;
  receiptCounts: ReceiptCounts;
  group: GroupNotice;
  invitation: InvitationNotice;
}

/** The events of one Channel, by name. */
export interface ChannelEvents {
  event: ChannelEvent;
  joined: Joined;
  left: Left;
  reset: Reset;
  status: Pending;
  unread: UnreadChange;
  reached: ReachedChange;
  typing: TypingNotice;
  presence: PresenceNotice;
  receipt: Receipt;
  receiptCounts: ReceiptCounts;
}
