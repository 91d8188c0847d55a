/** What a Client is made of, put together: who hears of which frame. */

import type { Channel } from "./channel.js";
import { Connection, type Surroundings } from "./connection.js";
import { Cursors } from "./cursors.js";
import { Emitter } from "./emitter.js";
import type { ClientError } from "./errors.js";
import type { ChannelEvents, ClientEvents, EndReason, Position } from "./events.js";
import type { ChannelSummary, Hello, Limits, ServerFrame, WireEvent } from "./frames.js";
import type { SocketConstructor } from "./link.js";
import { Outbox } from "./outbox.js";
import type { PendingStore } from "./pending.js";
import { Presence, Typing } from "./presence.js";
import { Reach } from "./reach.js";
import type { Rest } from "./rest.js";
import type { Send } from "./send.js";
import { Subscriptions, type Track } from "./subscriptions.js";
import type { TokenSource } from "./tokens.js";
import { UnreadCounts } from "./unread.js";

/** How many items a request for a page asks for, the most that the server gives. */
const PAGE_SIZE = 200;
/** How long counts that only the server knows wait for a cursor to arrive there. */
const COUNTS_AFTER_MS = 1_500;

export interface CoreConfig {
  readonly sockets: readonly string[];
  readonly tokens: TokenSource;
  readonly WebSocket: SocketConstructor;
  readonly surroundings: Surroundings | undefined;
  readonly userID: string | undefined;
  readonly positions: Readonly<Record<string, Position>>;
  readonly pendingStore: PendingStore;
  readonly maxPending: number;
  readonly maxCatchUp: number;
  readonly autoDelivered: boolean;
}

/** The parts, and the way of a frame through them. */
export class Core {
  readonly emitter = new Emitter<ClientEvents>();
  readonly connection: Connection;
  readonly subscriptions: Subscriptions;
  readonly outbox: Outbox;
  readonly cursors: Cursors;
  readonly unread: UnreadCounts;
  readonly reach: Reach;
  readonly typing: Typing;
  readonly presence: Presence;
  me: string | undefined;
  sessionID: string | undefined;
  limits: Limits | undefined;
  private greetedBefore = false;
  /** The connection of now is not the first. */
  private again = false;
  private readonly recounts = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(
    private readonly config: CoreConfig,
    private readonly rest: Rest,
    private readonly channel: (id: string) => Channel & { readonly emitter: Emitter<ChannelEvents> },
  ) {
    this.me = config.userID;
    const up = (): boolean => this.connection.up;
    const send = (...frames: object[]): void => this.connection.send(...frames);
    this.connection = new Connection(config.sockets, config.tokens, config.WebSocket, config.surroundings, {
      state: (state) => {
        this.emitter.emit("state", state);
        if (state.name === "ended") this.outbox.close();
      },
      refuses: (hello) => this.refuses(hello),
      greeted: (hello) => this.greeted(hello),
      frame: (frame) => this.take(frame),
      lost: () => this.lost(),
    });
    this.cursors = new Cursors(up, send);
    this.unread = new UnreadCounts(
      (id) => this.tellUnread(id),
      (id) => this.recount(id),
    );
    this.reach = new Reach(
      (id, reached) => this.tell(id, "reached", { channel: this.channel(id), ...reached }),
      (sent) => this.tell(sent.channelID, "status", sent),
      (channelID, messageID) => rest.listReceipts(channelID, messageID, { limit: 1 }),
    );
    this.typing = new Typing(send, (notice) => this.tell(notice.channel_id, "typing", notice));
    this.presence = new Presence(up, send, (notice) => this.tell(notice.channel_id, "presence", notice));
    this.outbox = new Outbox(config.pendingStore, config.maxPending, {
      up,
      send,
      status: (sent) => this.status(sent),
      channel: (id) => this.knowledge(id),
    });
    this.subscriptions = this.follow(send);
    if (config.userID !== undefined) void this.outbox.open(config.userID);
  }

  private follow(send: (frame: object) => void): Subscriptions {
    return new Subscriptions(this.config.positions, this.config.maxCatchUp, {
      send,
      events: async (id, after) => {
        const page = await this.rest.listEvents(id, { after_seq: after, limit: PAGE_SIZE });
        return page.items as unknown as readonly WireEvent[]; // openapi.yaml has one type for all kinds
      },
      listed: (track) => this.listed(track),
      joined: (track, from) => {
        this.tell(track.id, "joined", { channel: this.channel(track.id), from });
        // What is before is in the history: the user's device knows of it.
        if (this.config.autoDelivered) this.cursors.move(track.id, from.seq, 0);
      },
      left: (track, by, error) => this.left(track, by, error),
      reset: (track, from, lost) => {
        this.outbox.passed(track.id, track.pos);
        this.recount(track.id);
        this.tell(track.id, "reset", { channel: this.channel(track.id), from, to: { seq: track.pos, epoch: track.epoch }, lost });
      },
      event: (track, event) => this.event(track, event),
      following: (track) => this.presence.following(track.id),
      settled: () => {
        this.outbox.pump();
        if (this.connection.up && this.subscriptions.allCaughtUp) this.connection.caughtUp();
      },
    });
  }

  /** Tells the listeners of a channel and those of the client. */
  private tell<K extends keyof ChannelEvents>(channelID: string, name: K, value: ChannelEvents[K] & ClientEvents[K]): void {
    this.channel(channelID).emitter.emit(name, value);
    this.emitter.emit(name, value);
  }

  private refuses(hello: Hello): EndReason | undefined {
    return this.me !== undefined && this.me !== hello.user_id ? "other-user" : undefined;
  }

  private greeted(hello: Hello): void {
    this.again = this.greetedBefore;
    this.greetedBefore = true;
    this.me = hello.user_id;
    this.sessionID = hello.session_id;
    this.limits = this.outbox.limits = hello.limits;
    this.subscriptions.greet(hello, this.again);
    if (this.again) void this.reach.catchUp();
    void this.outbox.open(hello.user_id).then(() => this.outbox.pump());
  }

  private lost(): void {
    this.subscriptions.lost();
    this.outbox.lost();
    this.cursors.lost();
    this.typing.lost();
    this.presence.lost();
  }

  private take(frame: ServerFrame): void {
    switch (frame.type) {
      case "hello_more":
        return this.subscriptions.list(frame.channels, this.again);
      case "subscribed":
        return this.subscriptions.subscribed(frame);
      case "resync":
        return this.subscriptions.resync(frame);
      case "ack":
        return this.outbox.acked(frame);
      case "error":
        if (!this.subscriptions.refused(frame) && !this.presence.refused(frame)) this.outbox.refused(frame);
        return;
      case "failed":
        if ("reason" in frame) return this.outbox.notStored(frame, this.reach.drop(frame.client_id));
        return this.subscriptions.take(frame);
      case "membership":
        if (frame.change === "removed") return this.subscriptions.removed(frame.channel_id, frame.by);
        if (frame.channel && !this.subscriptions.tracks.has(frame.channel_id)) this.subscriptions.list([frame.channel], true);
        return;
      default:
        return this.takeNews(frame);
    }
  }

  /** Takes what is of the moment, and events. Frames of a later version are passed over. */
  private takeNews(frame: ServerFrame): void {
    switch (frame.type) {
      case "group":
        return this.emitter.emit("group", frame);
      case "invitation":
        return this.emitter.emit("invitation", frame);
      case "typing":
        return this.typing.take(frame);
      case "presence":
        return this.presence.take(frame);
      case "receipt":
        return this.receipt(frame);
      case "receipt_counts":
        this.reach.counts(frame.channel_id, frame);
        return this.tell(frame.channel_id, "receiptCounts", frame);
      case "message":
      case "edit":
      case "delete":
      case "reaction":
      case "member_joined":
      case "member_left":
      case "channel_updated":
      case "lost":
      case "noop":
      case "gap":
        return this.subscriptions.take(frame);
    }
  }

  private receipt(frame: Extract<ServerFrame, { type: "receipt" }>): void {
    if (frame.user_id === this.me) {
      // Another device of this user has read it.
      this.cursors.told(frame.channel_id, { last_delivered_seq: frame.delivered_seq, last_read_seq: frame.read_seq });
      this.unread.read(frame.channel_id, frame.read_seq);
    } else {
      this.reach.receipt(frame);
    }
    this.tell(frame.channel_id, "receipt", frame);
  }

  private listed(track: Track): void {
    const summary = track.summary;
    if (!summary) return;
    this.cursors.told(track.id, summary);
    this.unread.told(track.id, summary, this.cursors.read(track.id));
  }

  private left(track: Track, by: string | undefined, error: ClientError | undefined): void {
    this.cursors.forget(track.id);
    this.unread.forget(track.id);
    this.presence.forget(track.id);
    const channel = this.channel(track.id);
    this.tell(track.id, "left", { channel, ...(by === undefined ? {} : { by }), ...(error === undefined ? {} : { error }) });
  }

  private event(track: Track, wire: WireEvent): void {
    const sender = "sender_id" in wire ? wire.sender_id : undefined;
    const mine = sender !== undefined && sender === this.me;
    if (track.summary) track.summary = updated(track.summary, wire);
    if (mine) this.outbox.seen(wire);
    else if (sender !== undefined) this.typing.spoke(track.id, sender);
    this.outbox.passed(track.id, wire.seq);
    this.tell(track.id, "event", { ...wire, epoch: track.epoch, mine });
    if (this.me !== undefined) this.unread.event(wire, this.me);
    if (this.config.autoDelivered) this.cursors.move(track.id, wire.seq, 0);
  }

  private status(sent: Send): void {
    if (sent.status === "sent") this.reach.track(sent);
    this.tell(sent.channelID, "status", sent);
  }

  private tellUnread(id: string): void {
    const { unread, mentions } = this.unread.of(id);
    this.tell(id, "unread", { channel: this.channel(id), unread, unreadMentions: mentions });
  }

  private knowledge(id: string): { since: number; caughtUp: boolean; pos: number } | undefined {
    const track = this.subscriptions.tracks.get(id);
    if (track) return { since: track.since, caughtUp: this.subscriptions.caughtUp(track), pos: track.pos };
    // Until all are listed, what is not listed may still come.
    return this.connection.state.name === "up-to-date" ? { since: Infinity, caughtUp: false, pos: 0 } : undefined;
  }

  /** Says that the user has seen everything up to seq. */
  markRead(channelID: string, seq: number): void {
    if (this.cursors.move(channelID, seq, seq)) this.unread.read(channelID, seq);
  }

  /** Asks for counts that only the server knows, once the cursor is there. */
  private recount(id: string): void {
    clearTimeout(this.recounts.get(id));
    const ask = async (): Promise<void> => {
      this.recounts.delete(id);
      if (!this.connection.up || !this.subscriptions.tracks.has(id)) return; // hello will tell
      const details = await this.rest.getChannel(id).catch(() => undefined);
      if (details && this.subscriptions.tracks.has(id)) this.unread.told(id, details, this.cursors.read(id));
    };
    this.recounts.set(id, setTimeout(() => void ask(), COUNTS_AFTER_MS));
  }

  close(): void {
    for (const timer of this.recounts.values()) clearTimeout(timer);
    this.recounts.clear();
    this.connection.close();
  }
}

/** A channel's summary after an event of it. */
function updated(summary: ChannelSummary, event: WireEvent): ChannelSummary {
  const last_seq = Math.max(summary.last_seq, event.seq);
  const name = event.type === "channel_updated" ? event.channel["name"] : undefined;
  return { ...summary, last_seq, ...(typeof name === "string" ? { name } : {}) };
}
