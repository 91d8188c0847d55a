/**
 * The outbox settles every send once: the send is either acknowledged with its seq or
 * refused with a reason. No message is posted twice.
 */

import { jitter } from "./backoff.js";
import { ClientError, retryable } from "./errors.js";
import type { AckFrame, ErrorFrame, FailedFrame, Limits, Outbound, WireEvent } from "./frames.js";
import { Pace } from "./pace.js";
import type { Ack, PendingStore, StoredSend } from "./pending.js";
import { newClientID, Send, type SendOwner } from "./send.js";

/**
 * MAX_IN_FLIGHT is the maximum number of sends awaiting acknowledgement. The server allows 64 per
 * connection.
 */
const MAX_IN_FLIGHT = 32;
/** MAX_RETRY_DELAY_MS is the maximum delay after a refusal that specifies none. */
const MAX_RETRY_DELAY_MS = 1_000;

/**
 * ChannelProgress is the information about a channel that the outbox needs before it resends a
 * message that may already have been posted.
 */
export interface ChannelProgress {
  /**
   * The client has received every event since this time, in milliseconds since 1970. 0 means all
   * events; Infinity means that the channel is not followed.
   */
  readonly since: number;
  readonly caughtUp: boolean;
  /** The seq of the newest event delivered to the listeners. */
  readonly pos: number;
}

export interface OutboxHandlers {
  /** Whether frames can be sent now. */
  up(): boolean;
  send(frame: object): void;
  status(send: Send): void;
  /** Returns undefined while it is unknown whether the channel is followed. */
  channel(channelID: string): ChannelProgress | undefined;
}

/**
 * Outbox holds, in order, the sends that are neither acknowledged nor refused yet. It also holds
 * failed sends until the user retries or discards them.
 */
export class Outbox implements SendOwner {
  private readonly waiting = new Map<string, Send>(); // by client_id, in order
  /**
   * Messages to show separately from the log: those that are waiting or have failed, and
   * acknowledged ones whose event has not been delivered yet.
   */
  private readonly shown = new Map<string, Send>();
  private readonly pace = new Pace();
  private inFlight = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private user = "";
  private loading = false;
  private closed = false;

  constructor(
    private readonly store: PendingStore,
    private readonly maxPending: number,
    private readonly handlers: OutboxHandlers,
  ) {}

  set limits(limits: Limits) {
    this.pace.limits = limits;
  }

  /** of returns a channel's messages that are shown separately from the log, in order. */
  of(channelID: string): readonly Send[] {
    return this.all().filter((s) => s.channelID === channelID);
  }

  all(): readonly Send[] {
    return [...this.shown.values()].sort((a, b) => a.createdAt - b.createdAt);
  }

  /**
   * open sets the user and restores the user's saved sends. Sends that are added during the load
   * wait until it is complete.
   */
  async open(userID: string): Promise<void> {
    if (this.user === userID) return;
    this.user = userID;
    for (const send of this.waiting.values()) this.persist(send);
    this.loading = true;
    try {
      for (const stored of await this.store.load(userID)) this.restore(stored);
      const inOrder = [...this.waiting].sort(([, a], [, b]) => a.createdAt - b.createdAt);
      this.waiting.clear();
      for (const [id, send] of inOrder) this.waiting.set(id, send);
    } finally {
      this.loading = false;
      this.pump();
    }
  }

  private restore(stored: StoredSend): void {
    if (this.waiting.has(stored.client_id) || this.closed) return;
    const { client_id, channel_id, body, reply_to, failed } = stored;
    const frame: Outbound = { type: "send", channel_id, client_id, body, ...(reply_to === undefined ? {} : { reply_to }) };
    const send = new Send(frame, this, stored);
    this.shown.set(client_id, send);
    if (failed) send.fail(new ClientError(failed.code, failed.message, 0, failed.errors));
    else this.waiting.set(client_id, send);
    this.handlers.status(send);
  }

  /** add puts a send into the outbox, or returns the existing one with the same client_id. */
  add(frame: Outbound): Send {
    const known = this.waiting.get(frame.client_id);
    if (known) return known;
    const send = new Send(frame, this);
    if (this.closed || this.waiting.size >= this.maxPending) {
      send.fail(this.closed ? new ClientError("closed", "this client is closed") : new ClientError("full", "too many messages are waiting"));
      return send;
    }
    this.waiting.set(send.clientID, send);
    if (send.kind === "send") this.shown.set(send.clientID, send);
    this.persist(send);
    this.handlers.status(send);
    this.pump();
    return send;
  }

  retry(send: Send): Send {
    if (send.status !== "failed") return send;
    this.discard(send);
    return this.add({ ...send.frame, client_id: newClientID() });
  }

  discard(send: Send): void {
    if (send.status === "pending" && !send.transmitted) {
      this.dequeue(send);
      send.fail(new ClientError("discarded", "discarded before it was sent"));
    }
    if (send.status !== "failed") return;
    this.shown.delete(send.clientID);
    this.unpersist(send);
    this.handlers.status(send);
  }

  private persist(send: Send): void {
    if (this.user !== "" && send.kind === "send") this.store.put(this.user, send.stored());
  }

  private unpersist(send: Send): void {
    if (this.user !== "" && send.kind === "send") this.store.remove(this.user, send.clientID);
  }

  /**
   * lost handles the loss of the connection. All sends that were in flight are resent on the next
   * connection.
   */
  lost(): void {
    clearTimeout(this.timer);
    for (const send of this.waiting.values()) send.inFlight = false;
    this.inFlight = 0;
  }

  /** close stops sending. Saved messages stay in the store. */
  close(): void {
    this.lost();
    this.closed = true;
    for (const send of this.waiting.values()) {
      send.fail(new ClientError("closed", "closed before the answer came"));
    }
    this.waiting.clear();
  }

  /**
   * pump sends everything that may be sent now. Call it whenever further sends may have become
   * ready.
   */
  pump(): void {
    clearTimeout(this.timer);
    if (this.loading || this.closed) return;
    if (this.handlers.up()) this.expire(Date.now());
    while (this.handlers.up()) {
      const now = Date.now();
      const { send, wait } = this.next(now);
      if (!send) {
        if (wait > 0) this.timer = setTimeout(() => this.pump(), wait);
        return;
      }
      if (send.first === 0) {
        send.first = now;
        this.persist(send);
      }
      send.inFlight = true;
      this.inFlight++;
      this.pace.recordSend(now);
      this.handlers.send({ ...send.frame, ref: send.clientID });
    }
  }

  /**
   * next returns the next send if it may be transmitted now. Otherwise, it returns the number of
   * milliseconds to wait for it, or 0 if this time is unknown. Sends to the same channel stay in
   * order.
   */
  private next(now: number): { send?: Send; wait: number } {
    let wait = 0;
    if (this.inFlight >= MAX_IN_FLIGHT) return { wait };
    const blocked = new Set<string>();
    for (const send of this.waiting.values()) {
      if (send.inFlight || blocked.has(send.channelID)) continue;
      const pause = this.pace.channelDelay(send.channelID, now);
      if (pause > 0) wait = wait === 0 ? pause : Math.min(wait, pause);
      if (pause > 0 || send.expired(now)) {
        blocked.add(send.channelID);
        continue;
      }
      const delay = this.pace.rateDelay(now);
      return delay > 0 ? { wait: delay } : { send, wait: 0 };
    }
    return { wait };
  }

  /**
   * expire handles sends that the server may no longer recognize as duplicates. Once all of the
   * channel's events since the first attempt have been delivered and none of them is the send's
   * event, the send is treated as new.
   */
  private expire(now: number): void {
    for (const send of [...this.waiting.values()]) {
      if (send.inFlight || !send.expired(now)) continue;
      const channel = this.handlers.channel(send.channelID);
      if (channel && channel.since > send.first) {
        this.fail(send, new ClientError("unknown", "it is unknown whether the message was posted"));
      } else if (channel?.caughtUp) {
        send.first = 0;
      }
    }
  }

  /**
   * acked handles an acknowledgement. It ignores acknowledgements of sends that are no longer
   * waiting for one.
   */
  acked(frame: AckFrame): void {
    const send = this.waiting.get(frame.client_id);
    if (send) this.settle(send, { channelID: frame.channel_id, clientID: frame.client_id, id: frame.id, seq: frame.seq, sentAt: frame.sent_at });
    this.pump();
  }

  /**
   * seen settles a send when its own event arrives, which counts as an acknowledgement. From then
   * on, the log shows the message.
   */
  seen(event: WireEvent): void {
    const clientID = "client_id" in event ? event.client_id : undefined;
    if (!clientID) return;
    this.shown.delete(clientID);
    const send = this.waiting.get(clientID);
    if (send) this.settle(send, { channelID: event.channel_id, clientID, id: event.id, seq: event.seq, sentAt: event.sent_at });
  }

  /**
   * advancedTo records that every event up to seq has been delivered, or will be read from the
   * history.
   */
  advancedTo(channelID: string, seq: number): void {
    for (const [id, send] of this.shown) {
      if (send.channelID === channelID && send.seq !== undefined && send.seq <= seq && send.status !== "failed") this.shown.delete(id);
    }
  }

  private settle(send: Send, ack: Ack): void {
    this.dequeue(send);
    this.unpersist(send);
    send.acknowledge(ack);
    const channel = this.handlers.channel(send.channelID);
    const eventExpected = channel !== undefined && channel.since !== Infinity && channel.pos < ack.seq;
    if (!eventExpected) this.shown.delete(send.clientID); // its event has been delivered or never will be
    this.handlers.status(send);
  }

  private dequeue(send: Send): void {
    if (send.inFlight) this.inFlight--;
    send.inFlight = false;
    this.waiting.delete(send.clientID);
  }

  private fail(send: Send, error: ClientError): void {
    this.dequeue(send);
    send.fail(error);
    this.persist(send);
    this.handlers.status(send);
  }

  /** refused handles an error frame if the frame answers a send, and reports whether it did. */
  refused(frame: ErrorFrame): boolean {
    const send = this.waiting.get(frame.ref ?? "");
    if (!send?.inFlight) return false;
    const code = frame.code as ClientError["code"];
    if (retryable(code)) {
      this.inFlight--;
      send.inFlight = false;
      const wait = frame.retry_after_ms || jitter(MAX_RETRY_DELAY_MS);
      this.pace.pause(code === "rate_limited" ? undefined : send.channelID, Date.now() + Math.max(wait, 10));
    } else {
      this.fail(send, new ClientError(code, frame.message, frame.retry_after_ms ?? 0, frame.errors));
    }
    this.pump();
    return true;
  }

  /**
   * notStored handles a report that an event could not be stored. `acknowledged` is the send that
   * posted the event if the send was already acknowledged. Otherwise, it is undefined, and the send
   * is still in the outbox.
   */
  notStored(frame: FailedFrame, acknowledged: Send | undefined): void {
    const send = acknowledged ?? this.waiting.get(frame.client_id);
    if (!send) return;
    if (send.kind === "send") this.shown.set(send.clientID, send); // the user may retry it
    this.fail(send, new ClientError("not_stored", `could not be stored: ${frame.reason}`));
  }
}
