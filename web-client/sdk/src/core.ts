/** Core connects the parts of a Client and dispatches the server's frames to them. */

import type { Channel, ChannelEvents, ChannelParts } from "./channel.js";
import type { SocketConstructor } from "./connection.js";
import { Connector, type Environment } from "./connector.js";
import { Emitter } from "./emitter.js";
import type { ClientError } from "./errors.js";
import type { ConnectionState, EndReason, Position } from "./events.js";
import type { ChannelSummary, GroupNotice, Hello, InvitationNotice, Limits, ServerFrame, WireEvent } from "./frames.js";
import { Outbox } from "./outbox.js";
import type { PendingStore } from "./pending.js";
import { Presence, Typing } from "./presence.js";
import { Reach } from "./reach.js";
import { Receipts } from "./receipts.js";
import type { Rest } from "./rest.js";
import type { Send } from "./send.js";
import { Subscriptions, type Track } from "./subscriptions.js";
import type { TokenSource } from "./tokens.js";
import { UnreadCounts } from "./unread.js";

/** PAGE_SIZE is the number of items to request per page, which is the server's maximum. */
const PAGE_SIZE = 200;
/**
 * COUNTS_DELAY_MS is the delay before a request for a channel's unread counts, so that the read
 * position reaches the server first.
 */
const COUNTS_DELAY_MS = 1_500;

/** A Client's events, by name: the events of all its channels, and its own. */
export interface ClientEvents extends ChannelEvents {
  state: ConnectionState;
  group: GroupNotice;
  invitation: InvitationNotice;
}

export interface CoreConfig {
  readonly sockets: readonly string[];
  readonly tokens: TokenSource;
  readonly WebSocket: SocketConstructor;
  readonly environment: Environment | undefined;
  readonly userID: string | undefined;
  readonly positions: Readonly<Record<string, Position>>;
  readonly pendingStore: PendingStore;
  readonly maxPending: number;
  readonly maxCatchUp: number;
  readonly autoDelivered: boolean;
}

/** Core owns the parts of one Client and routes each frame to the part that handles it. */
export class Core implements ChannelParts {
  readonly emitter = new Emitter<ClientEvents>();
  readonly connector: Connector;
  readonly subscriptions: Subscriptions;
  readonly outbox: Outbox;
  readonly receipts: Receipts;
  readonly unread: UnreadCounts;
  readonly reach: Reach;
  readonly typing: Typing;
  readonly presence: Presence;
  me: string | undefined;
  sessionID: string | undefined;
  limits: Limits | undefined;
  private connectedBefore = false;
  /** Whether the current connection is a reconnection rather than the first connection. */
  private reconnected = false;
  private readonly recounts = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(
    private readonly config: CoreConfig,
    private readonly rest: Rest,
    private readonly channel: (id: string) => Channel & { readonly emitter: Emitter<ChannelEvents> },
  ) {
    this.me = config.userID;
    const up = (): boolean => this.connector.up;
    const send = (...frames: object[]): void => this.connector.send(...frames);
    this.connector = new Connector(config.sockets, config.tokens, config.WebSocket, config.environment, {
      state: (state) => {
        this.emitter.emit("state", state);
        if (state.name === "ended") this.outbox.close();
      },
      refuses: (hello) => this.refuses(hello),
      greeted: (hello) => this.greeted(hello),
      frame: (frame) => this.handleFrame(frame),
      lost: () => this.lost(),
    });
    this.receipts = new Receipts(up, send);
    this.unread = new UnreadCounts(
      (id) => this.notifyUnread(id),
      (id) => this.recount(id),
    );
    this.reach = new Reach(
      (id, reached) => this.notify(id, "reached", { channel: this.channel(id), ...reached }),
      (sent) => this.notify(sent.channelID, "status", sent),
      (channelID, messageID) => rest.listReceipts(channelID, messageID, { limit: 1 }),
    );
    this.typing = new Typing(send, (notice) => this.notify(notice.channel_id, "typing", notice));
    this.presence = new Presence(up, send, (notice) => this.notify(notice.channel_id, "presence", notice));
    this.outbox = new Outbox(config.pendingStore, config.maxPending, {
      up,
      send,
      status: (sent) => this.status(sent),
      channel: (id) => this.channelProgress(id),
    });
    this.subscriptions = this.follow(send);
    if (config.userID !== undefined) void this.outbox.open(config.userID);
  }

  private follow(send: (frame: object) => void): Subscriptions {
    return new Subscriptions(this.config.positions, this.config.maxCatchUp, {
      send,
      events: async (id, after) => {
        const page = await this.rest.listEvents(id, { after_seq: after, limit: PAGE_SIZE });
        return page.items as unknown as readonly WireEvent[]; // openapi.yaml has one type for all kinds of event
      },
      listed: (track) => this.listed(track),
      joined: (track, from) => {
        this.notify(track.id, "joined", { channel: this.channel(track.id), from });
        // The history contains everything up to this seq, so all of it counts as delivered to this
        // device.
        if (this.config.autoDelivered) this.receipts.move(track.id, from.seq, 0);
      },
      left: (track, by, error) => this.left(track, by, error),
      reset: (track, from, lost) => {
        this.outbox.advancedTo(track.id, track.pos);
        this.recount(track.id);
        this.notify(track.id, "reset", { channel: this.channel(track.id), from, to: { seq: track.pos, epoch: track.epoch }, lost });
      },
      event: (track, event) => this.event(track, event),
      following: (track) => this.presence.following(track.id),
      settled: () => {
        this.outbox.pump();
        if (this.connector.up && this.subscriptions.allCaughtUp) this.connector.caughtUp();
      },
    });
  }

  /** notify calls the channel's listeners, and then the client's. */
  private notify<K extends keyof ChannelEvents>(channelID: string, name: K, value: ChannelEvents[K] & ClientEvents[K]): void {
    this.channel(channelID).emitter.emit(name, value);
    this.emitter.emit(name, value);
  }

  private refuses(hello: Hello): EndReason | undefined {
    return this.me !== undefined && this.me !== hello.user_id ? "other-user" : undefined;
  }

  private greeted(hello: Hello): void {
    this.reconnected = this.connectedBefore;
    this.connectedBefore = true;
    this.me = hello.user_id;
    this.sessionID = hello.session_id;
    this.limits = this.outbox.limits = hello.limits;
    this.subscriptions.greet(hello, this.reconnected);
    if (this.reconnected) void this.reach.catchUp();
    void this.outbox.open(hello.user_id).then(() => this.outbox.pump());
  }

  private lost(): void {
    this.subscriptions.lost();
    this.outbox.lost();
    this.receipts.lost();
    this.typing.lost();
    this.presence.lost();
  }

  private handleFrame(frame: ServerFrame): void {
    switch (frame.type) {
      case "hello_more":
        return this.subscriptions.list(frame.channels, this.reconnected);
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
        return this.subscriptions.handleEvent(frame);
      case "membership":
        if (frame.change === "removed") return this.subscriptions.removed(frame.channel_id, frame.by);
        if (frame.channel && !this.subscriptions.tracks.has(frame.channel_id)) this.subscriptions.list([frame.channel], true);
        return;
      default:
        return this.handleNotice(frame);
    }
  }

  /**
   * handleNotice handles ephemeral frames and events. It ignores frames from later protocol
   * versions.
   */
  private handleNotice(frame: ServerFrame): void {
    switch (frame.type) {
      case "group":
        return this.emitter.emit("group", frame);
      case "invitation":
        return this.emitter.emit("invitation", frame);
      case "typing":
        return this.typing.handle(frame);
      case "presence":
        return this.presence.handle(frame);
      case "receipt":
        return this.receipt(frame);
      case "receipt_counts":
        this.reach.counts(frame.channel_id, frame);
        return this.notify(frame.channel_id, "receiptCounts", frame);
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
        return this.subscriptions.handleEvent(frame);
    }
  }

  private receipt(frame: Extract<ServerFrame, { type: "receipt" }>): void {
    if (frame.user_id === this.me) {
      // This user has read up to this seq on another device.
      this.receipts.fromServer(frame.channel_id, { last_delivered_seq: frame.delivered_seq, last_read_seq: frame.read_seq });
      this.unread.read(frame.channel_id, frame.read_seq);
    } else {
      this.reach.receipt(frame);
    }
    this.notify(frame.channel_id, "receipt", frame);
  }

  private listed(track: Track): void {
    const summary = track.summary;
    if (!summary) return;
    this.receipts.fromServer(track.id, summary);
    this.unread.fromServer(track.id, summary, this.receipts.read(track.id));
  }

  private left(track: Track, by: string | undefined, error: ClientError | undefined): void {
    this.receipts.forget(track.id);
    this.unread.forget(track.id);
    this.presence.forget(track.id);
    const channel = this.channel(track.id);
    this.notify(track.id, "left", { channel, ...(by === undefined ? {} : { by }), ...(error === undefined ? {} : { error }) });
  }

  private event(track: Track, wire: WireEvent): void {
    const sender = "sender_id" in wire ? wire.sender_id : undefined;
    const mine = sender !== undefined && sender === this.me;
    if (track.summary) track.summary = updated(track.summary, wire);
    if (mine) this.outbox.seen(wire);
    else if (sender !== undefined) this.typing.messageReceived(track.id, sender);
    this.outbox.advancedTo(track.id, wire.seq);
    this.notify(track.id, "event", { ...wire, epoch: track.epoch, mine });
    if (this.me !== undefined) this.unread.event(wire, this.me);
    if (this.config.autoDelivered) this.receipts.move(track.id, wire.seq, 0);
  }

  private status(sent: Send): void {
    if (sent.status === "sent") this.reach.track(sent);
    this.notify(sent.channelID, "status", sent);
  }

  private notifyUnread(id: string): void {
    const { unread, mentions } = this.unread.of(id);
    this.notify(id, "unread", { channel: this.channel(id), unread, unreadMentions: mentions });
  }

  private channelProgress(id: string): { since: number; caughtUp: boolean; pos: number } | undefined {
    const track = this.subscriptions.tracks.get(id);
    if (track) return { since: track.since, caughtUp: this.subscriptions.caughtUp(track), pos: track.pos };
    // Until the server has listed all channels, it is unknown whether this channel will be
    // followed.
    return this.connector.state.name === "up-to-date" ? { since: Infinity, caughtUp: false, pos: 0 } : undefined;
  }

  /** markRead records that the user has read everything up to seq. */
  markRead(channelID: string, seq: number): void {
    if (this.receipts.move(channelID, seq, seq)) this.unread.read(channelID, seq);
  }

  /**
   * recount requests the channel's unread counts from the server after a delay, so that the read
   * position reaches the server first.
   */
  private recount(id: string): void {
    clearTimeout(this.recounts.get(id));
    const request = async (): Promise<void> => {
      this.recounts.delete(id);
      if (!this.connector.up || !this.subscriptions.tracks.has(id)) return; // the next hello contains the counts
      const details = await this.rest.getChannel(id).catch(() => undefined);
      if (details && this.subscriptions.tracks.has(id)) this.unread.fromServer(id, details, this.receipts.read(id));
    };
    this.recounts.set(id, setTimeout(() => void request(), COUNTS_DELAY_MS));
  }

  close(): void {
    for (const timer of this.recounts.values()) clearTimeout(timer);
    this.recounts.clear();
    this.connector.close();
  }
}

/** updated returns the channel's summary with the event's changes applied. */
function updated(summary: ChannelSummary, event: WireEvent): ChannelSummary {
  const last_seq = Math.max(summary.last_seq, event.seq);
  const name = event.type === "channel_updated" ? event.channel["name"] : undefined;
  return { ...summary, last_seq, ...(typeof name === "string" ? { name } : {}) };
}
