/** The API for one channel, and the events that refer to a channel. */

import { Emitter, type Listener, type Off } from "./emitter.js";
import type { ClientError } from "./errors.js";
import type { ChannelEvent, Position } from "./events.js";
import type { ChannelSummary, Outbound, PresenceNotice, Receipt, ReceiptCounts, TypingNotice } from "./frames.js";
import type { Outbox } from "./outbox.js";
import type { Ack, Pending } from "./pending.js";
import type { Online, Presence, Typing } from "./presence.js";
import type { OwnMessage, Reach, Reached } from "./reach.js";
import type { Receipts } from "./receipts.js";
import { allPages, type Rest } from "./rest.js";
import type { Message, MessageChange } from "./rest-types.js";
import { newClientID, normalizeBody, type Send } from "./send.js";
import type { Subscriptions } from "./subscriptions.js";
import type { UnreadCounts } from "./unread.js";

export interface SendOptions {
  /** The id of the message that this one replies to. */
  readonly replyTo?: string | undefined;
  /**
   * A UUID that identifies the message. If several messages with the same UUID arrive within ten
   * minutes, the server posts only one of them. Default: a new UUID.
   */
  readonly clientID?: string;
}

/**
 * Selects a page of the history. If before, after and around are all absent, the page contains the
 * newest messages.
 */
export interface HistoryQuery {
  /** Return the newest messages before this seq. */
  readonly before?: number;
  /** Return the oldest messages after this seq. */
  readonly after?: number;
  /** Return messages around this seq: half of them up to and including it, half after it. */
  readonly around?: number;
  /**
   * Return the messages as they were when the event with this seq was the newest. Messages that
   * were deleted later are shown as deleted. A version of a message that had already been replaced
   * when the user joined has an empty body.
   */
  readonly asOfSeq?: number;
  /** Return the messages as they were at this time. Set at most one of asOf and asOfSeq. */
  readonly asOf?: Date;
  /** At most 200; default 50. */
  readonly limit?: number;
}

/** ChannelParts are the parts of a Client that its channels use; Core provides them. */
export interface ChannelParts {
  readonly subscriptions: Subscriptions;
  readonly outbox: Outbox;
  readonly receipts: Receipts;
  readonly unread: UnreadCounts;
  readonly reach: Reach;
  readonly typing: Typing;
  readonly presence: Presence;
  /** Records that the user has read everything up to seq. */
  markRead(channelID: string, seq: number): void;
}

/**
 * A Channel is a handle for one channel. `client.channel(id)` always returns the same handle for an
 * id, even if the channel is not (yet) followed. Its listeners stay registered for the lifetime of
 * the client.
 */
export class Channel {
  /** @internal */
  readonly emitter = new Emitter<ChannelEvents>();

  /** @internal */
  constructor(
    readonly id: string,
    private readonly parts: ChannelParts,
    private readonly rest: Rest,
  ) {}

  on<K extends keyof ChannelEvents>(name: K, listener: Listener<ChannelEvents[K]>): Off {
    return this.emitter.on(name, listener);
  }

  private get track() {
    return this.parts.subscriptions.tracks.get(this.id);
  }

  /**
   * The server's latest description of the channel. It is undefined until the first description
   * arrives, or if the user is not a member.
   */
  get summary(): ChannelSummary | undefined {
    return this.track?.summary;
  }

  /** Whether the user is a member, according to the server's latest report. */
  get followed(): boolean {
    return this.track?.summary !== undefined;
  }

  /**
   * True if the channel's events are not received because the user has more channels than one
   * connection can follow. See `follow`.
   */
  get leftOut(): boolean {
    return this.track?.leftOut ?? false;
  }

  /**
   * Follows this channel if it was left out; see `leftOut`. Missed events are delivered, as after
   * any other interruption. If the connection has reached its limit, the channel with the least
   * recent activity is left out instead.
   */
  follow(): void {
    this.parts.subscriptions.follow(this.id);
  }

  /** Whether every event in the channel so far has been delivered to the listeners. */
  get caughtUp(): boolean {
    return this.track !== undefined && this.parts.subscriptions.caughtUp(this.track);
  }

  /**
   * The position of the newest event that was delivered. Save it and pass it to the next Client.
   */
  get position(): Position | undefined {
    return this.track && { seq: this.track.pos, epoch: this.track.epoch };
  }

  /** The channel's highest known seq. */
  get lastSeq(): number {
    return Math.max(this.track?.pos ?? 0, this.track?.summary?.last_seq ?? 0);
  }

  /** The seq up to which this user has read. */
  get readSeq(): number {
    return this.parts.receipts.read(this.id);
  }

  /** The number of messages from others after `readSeq`: exact up to 999; 1000 means more. */
  get unread(): number {
    return this.parts.unread.of(this.id).unread;
  }

  /** How many of the unread messages mention this user or everyone. */
  get unreadMentions(): number {
    return this.parts.unread.of(this.id).mentions;
  }

  /**
   * This user's messages that are not in the channel's log yet, in order. Each one is waiting, has
   * failed, or was acknowledged before its event arrived. A message leaves the list before its
   * event is emitted.
   */
  get pending(): readonly Pending[] {
    return this.parts.outbox.of(this.id);
  }

  /**
   * Sends a message. The message is added to `pending` immediately and sent as soon as there is a
   * connection. If the connection is lost, the message is resent on the next one.
   */
  send(body: string, options: SendOptions = {}): Pending {
    this.parts.typing.messageSent(this.id);
    const { replyTo, clientID } = options;
    return this.append({ type: "send", body: normalizeBody(body), ...(replyTo === undefined ? {} : { reply_to: replyTo }) }, clientID);
  }

  /** Replaces the body of one of the user's messages. */
  edit(messageID: string, body: string): Promise<Ack> {
    return this.append({ type: "edit", message_id: messageID, body: normalizeBody(body) }).settled;
  }

  /** Deletes a message. */
  delete(messageID: string): Promise<Ack> {
    return this.append({ type: "delete", message_id: messageID }).settled;
  }

  /** Adds an emoji reaction to a message or, if `remove` is true, removes it. */
  react(messageID: string, emoji: string, remove = false): Promise<Ack> {
    return this.append({ type: "react", message_id: messageID, emoji, remove }).settled;
  }

  private append(frame: Omit<Outbound, "channel_id" | "client_id">, clientID: string = newClientID()): Send {
    return this.parts.outbox.add({ ...frame, channel_id: this.id, client_id: clientID });
  }

  /**
   * Reports that the user has read everything up to seq. If there is no connection, the report is
   * sent on the next one.
   */
  markRead(seq: number): void {
    this.parts.markRead(this.id, seq);
  }

  /**
   * Reports that everything up to seq has reached this client. The client does this automatically
   * unless `autoDelivered` is false.
   */
  markDelivered(seq: number): void {
    this.parts.receipts.move(this.id, seq, 0);
  }

  /** The seqs up to which the user's own messages have been delivered and read. */
  get reached(): Reached {
    return this.parts.reach.of(this.id);
  }

  /** Returns the status of the user's own message with the given seq. */
  statusOf(seq: number): "sent" | "delivered" | "read" {
    return this.parts.reach.statusOf(this.id, seq);
  }

  /**
   * Requests the status of the user's own messages. This is necessary because the server does not
   * resend receipts that the client has missed. The request covers at most the ten newest of the
   * given messages.
   */
  askReached(own: readonly OwnMessage[]): Promise<void> {
    return this.parts.reach.ask(this.id, own);
  }

  /**
   * Reports that the user is typing. Call it on every keystroke; it sends frames at a limited rate.
   */
  typing(): void {
    this.parts.typing.set(this.id, true);
  }

  /** Reports that the user has stopped typing without sending a message. */
  stopTyping(): void {
    this.parts.typing.set(this.id, false);
  }

  /** The ids of the members who are typing. */
  get typists(): ReadonlySet<string> {
    return this.parts.typing.of(this.id);
  }

  /**
   * Requests the list of online users and keeps it up to date from then on: see `online` and the
   * `presence` event.
   */
  presence(): Promise<Online> {
    return this.parts.presence.ask(this.id);
  }

  /** The members who are online; undefined until a call to `presence()` has been answered. */
  get online(): Online | undefined {
    return this.parts.presence.of(this.id);
  }

  /**
   * Returns a page of messages in ascending order of seq, with edits, deletions and reactions
   * applied.
   */
  async history(query: HistoryQuery = {}): Promise<readonly Message[]> {
    const { before, after, around, asOfSeq, asOf, limit } = query;
    const page = await this.rest.listMessages(this.id, {
      before_seq: before,
      after_seq: after,
      around,
      as_of_seq: asOfSeq,
      as_of: asOf?.toISOString(),
      limit,
    });
    return page.items;
  }

  /**
   * Returns the messages that are different at the seq `to` than at the seq `from`, in the order of
   * their first change. It reads all pages; the number of requests grows with the number of events
   * between the two points.
   */
  changes(from: number, to: number): Promise<readonly MessageChange[]> {
    return allPages((paging) => this.rest.listChanges(this.id, { ...paging, from_seq: from, to_seq: to, limit: 200 }));
  }
}

/**
 * A channel is now being followed. The first event delivered is the one after `from`; the history
 * contains everything up to and including `from`.
 */
export interface Joined {
  readonly channel: Channel;
  readonly from: Position;
}

/** A channel is no longer followed. */
export interface Left {
  readonly channel: Channel;
  /** The user who removed this user, if any. */
  readonly by?: string;
  /** The error, if the server refused the subscription. */
  readonly error?: ClientError;
}

/**
 * Some events were missed and will not be delivered. Discard everything that you have stored for
 * the channel after `to.seq` and read the newest page of its history. The next event is the one
 * after `to`.
 */
export interface Reset {
  readonly channel: Channel;
  readonly from: Position;
  readonly to: Position;
  /** True if the server has lost writes; false if more than `maxCatchUp` events were missed. */
  readonly lost: boolean;
}

/** The number of unread messages in a channel has changed. */
export interface UnreadChange {
  readonly channel: Channel;
  /** Exact up to 999; 1000 means more. */
  readonly unread: number;
  readonly unreadMentions: number;
}

/**
 * Other members have received or read more of this user's messages. At least one of them has
 * received the messages up to `delivered`, and at least one has read the messages up to `read`.
 */
export interface ReachedChange {
  readonly channel: Channel;
  readonly delivered: number;
  readonly read: number;
}

/** A Channel's events, by name. */
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
