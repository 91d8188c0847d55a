/** One channel, as a page uses it. */

import type { Core } from "./core.js";
import { Emitter, type Listener, type Off } from "./emitter.js";
import type { ChannelEvents, Position } from "./events.js";
import type { ChannelSummary, Outbound } from "./frames.js";
import type { Ack, Pending } from "./pending.js";
import type { Online } from "./presence.js";
import type { OwnMessage, Reached } from "./reach.js";
import type { Rest } from "./rest.js";
import type { Message } from "./rest-types.js";
import { newClientID, normalizeBody, type Send } from "./send.js";

export interface SendOptions {
  /** The id of the message that it answers. */
  readonly replyTo?: string | undefined;
  /** A UUID. The same one is said once, whoever sends it again within ten minutes. Default: a fresh one. */
  readonly clientID?: string;
}

/** Where a page of the history begins. Absent: the newest messages. */
export interface HistoryQuery {
  /** The newest before this seq. */
  readonly before?: number;
  /** The oldest after this seq. */
  readonly after?: number;
  /** Half before and with this seq, half after it. */
  readonly around?: number;
  /** At most 200; default 50. */
  readonly limit?: number;
}

/**
 * A Channel is a handle: `client.channel(id)` gives the same one each time, also of a channel that is not
 * followed (yet). Its listeners live as long as the client.
 */
export class Channel {
  /** @internal */
  readonly emitter = new Emitter<ChannelEvents>();

  /** @internal */
  constructor(
    readonly id: string,
    private readonly core: Core,
    private readonly rest: Rest,
  ) {}

  on<K extends keyof ChannelEvents>(name: K, listener: Listener<ChannelEvents[K]>): Off {
    return this.emitter.on(name, listener);
  }

  private get track() {
    return this.core.subscriptions.tracks.get(this.id);
  }

  /** What the server has told of it; undefined until then, and when the user is not in it. */
  get summary(): ChannelSummary | undefined {
    return this.track?.summary;
  }

  /** Whether the user is in it, as far as the server has told. */
  get followed(): boolean {
    return this.track?.summary !== undefined;
  }

  /** Whether nothing of it comes, because the user is in more channels than a connection follows. See `follow`. */
  get leftOut(): boolean {
    return this.track?.aside ?? false;
  }

  /**
   * Follows a channel that is left out: what happened meanwhile comes as events, as after any other pause. Where there
   * is no room the channel in which nothing happened for the longest time is left out in its place.
   */
  follow(): void {
    this.core.subscriptions.follow(this.id);
  }

  /** Whether all that has happened in it was handed on. */
  get caughtUp(): boolean {
    return this.track !== undefined && this.core.subscriptions.caughtUp(this.track);
  }

  /** The newest event that was handed on: what to keep, and to give to the next Client. */
  get position(): Position | undefined {
    return this.track && { seq: this.track.pos, epoch: this.track.epoch };
  }

  /** The newest event that is known of. */
  get lastSeq(): number {
    return Math.max(this.track?.pos ?? 0, this.track?.summary?.last_seq ?? 0);
  }

  /** How far this user has read. */
  get readSeq(): number {
    return this.core.cursors.read(this.id);
  }

  /** Others' messages behind `readSeq`: exact up to 999; 1000 means more. */
  get unread(): number {
    return this.core.unread.of(this.id).unread;
  }

  /** Those of them that mention this user, or all. */
  get unreadMentions(): number {
    return this.core.unread.of(this.id).mentions;
  }

  /**
   * This user's messages that are not in the log yet, in order: they wait, have failed, or were acknowledged
   * and their event is on its way. A message leaves the list before its event is told.
   */
  get pending(): readonly Pending[] {
    return this.core.outbox.of(this.id);
  }

  /** Sends a message. It is in `pending` at once, and sent when there is a connection, over however many that takes. */
  send(body: string, options: SendOptions = {}): Pending {
    this.core.typing.over(this.id);
    const { replyTo, clientID } = options;
    return this.append({ type: "send", body: normalizeBody(body), ...(replyTo === undefined ? {} : { reply_to: replyTo }) }, clientID);
  }

  /** Gives a message of the user's another body. */
  edit(messageID: string, body: string): Promise<Ack> {
    return this.append({ type: "edit", message_id: messageID, body: normalizeBody(body) }).settled;
  }

  /** Takes a message away. */
  delete(messageID: string): Promise<Ack> {
    return this.append({ type: "delete", message_id: messageID }).settled;
  }

  /** Puts an emoji on a message or, with `remove`, takes it back. */
  react(messageID: string, emoji: string, remove = false): Promise<Ack> {
    return this.append({ type: "react", message_id: messageID, emoji, remove }).settled;
  }

  private append(frame: Omit<Outbound, "channel_id" | "client_id">, clientID: string = newClientID()): Send {
    return this.core.outbox.add({ ...frame, channel_id: this.id, client_id: clientID });
  }

  /** Says that the user has seen everything up to seq. It is remembered while there is no connection. */
  markRead(seq: number): void {
    this.core.markRead(this.id, seq);
  }

  /** Says that everything up to seq has reached this client. The client does so by itself, unless `autoDelivered` is false. */
  markDelivered(seq: number): void {
    this.core.cursors.move(this.id, seq, 0);
  }

  /** How far the user's own messages have come. */
  get reached(): Reached {
    return this.core.reach.of(this.id);
  }

  /** How far a message of the user's own has come, by its seq. */
  statusOf(seq: number): "sent" | "delivered" | "read" {
    return this.core.reach.statusOf(this.id, seq);
  }

  /** Asks how far messages of the user's own have come, at most ten of the newest: receipts are not replayed. */
  askReached(own: readonly OwnMessage[]): Promise<void> {
    return this.core.reach.ask(this.id, own);
  }

  /** Says that the user types. Call it as often as a key is pressed. */
  typing(): void {
    this.core.typing.say(this.id, true);
  }

  /** Says that the user has stopped typing, without sending. */
  stopTyping(): void {
    this.core.typing.say(this.id, false);
  }

  /** Ids of the members who type. */
  get typists(): ReadonlySet<string> {
    return this.core.typing.of(this.id);
  }

  /** Asks who is online, and keeps it up from then on: see `online` and the event `presence`. */
  presence(): Promise<Online> {
    return this.core.presence.ask(this.id);
  }

  /** Who is online, once `presence()` was asked. */
  get online(): Online | undefined {
    return this.core.presence.of(this.id);
  }

  /** A page of messages, ascending by seq, with edits, deletions and reactions folded in. */
  async history(query: HistoryQuery = {}): Promise<readonly Message[]> {
    const { before, after, around, limit } = query;
    const page = await this.rest.listMessages(this.id, { before_seq: before, after_seq: after, around, limit });
    return page.items;
  }
}
