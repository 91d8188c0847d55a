/** Every send settles once: acknowledged with its one seq, or refused with a reason; and it is said once. */

import { jitter } from "./backoff.js";
import { ClientError, retryable } from "./errors.js";
import type { AckFrame, ErrorFrame, FailedFrame, Limits, Outbound, WireEvent } from "./frames.js";
import { Pace } from "./pace.js";
import type { Ack, PendingStore, StoredSend } from "./pending.js";
import { newClientID, Send, type SendOwner } from "./send.js";

/** How many sends are on their way at once. The server takes 64 of a connection. */
const IN_FLIGHT = 32;
/** The most that is waited after a refusal that does not say. */
const REFUSED_MS = 1_000;

/** What the outbox has to know of a channel to repeat what may have been done. */
export interface ChannelKnowledge {
  /** All events since then were seen; 0: all that matter. Infinity: the channel is not followed. */
  readonly since: number;
  readonly caughtUp: boolean;
  /** The newest event that was handed on. */
  readonly pos: number;
}

export interface OutboxHandlers {
  /** Whether frames can be sent now. */
  up(): boolean;
  send(frame: object): void;
  status(send: Send): void;
  /** undefined: it is not known yet. */
  channel(channelID: string): ChannelKnowledge | undefined;
}

/** Keeps what was sent and has not settled, in order, and what has failed until somebody decides. */
export class Outbox implements SendOwner {
  private readonly waiting = new Map<string, Send>(); // by client id, in order
  /** Messages that are shown as of their own: they wait, have failed, or their event was not handed on yet. */
  private readonly shown = new Map<string, Send>();
  private readonly pace = new Pace();
  private flying = 0;
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

  /** The messages of a channel that are shown as of their own, in order. */
  of(channelID: string): readonly Send[] {
    return this.all().filter((s) => s.channelID === channelID);
  }

  all(): readonly Send[] {
    return [...this.shown.values()].sort((a, b) => a.createdAt - b.createdAt);
  }

  /** Says whose sends these are, and takes up what is kept of them. What is said meanwhile waits. */
  async open(userID: string): Promise<void> {
    if (this.user === userID) return;
    this.user = userID;
    for (const send of this.waiting.values()) this.keep(send);
    this.loading = true;
    try {
      for (const kept of await this.store.load(userID)) this.take(kept);
      const inOrder = [...this.waiting].sort(([, a], [, b]) => a.createdAt - b.createdAt);
      this.waiting.clear();
      for (const [id, send] of inOrder) this.waiting.set(id, send);
    } finally {
      this.loading = false;
      this.pump();
    }
  }

  private take(kept: StoredSend): void {
    if (this.waiting.has(kept.client_id) || this.closed) return;
    const { client_id, channel_id, body, reply_to, failed } = kept;
    const frame: Outbound = { type: "send", channel_id, client_id, body, ...(reply_to === undefined ? {} : { reply_to }) };
    const send = new Send(frame, this, kept);
    this.shown.set(client_id, send);
    if (failed) send.fail(new ClientError(failed.code, failed.message));
    else this.waiting.set(client_id, send);
    this.handlers.status(send);
  }

  /** Puts a send into the outbox, or returns the one that is there under its client id. */
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
    this.keep(send);
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
    if (send.status !== "failed") return;
    this.shown.delete(send.clientID);
    this.unkeep(send);
    this.handlers.status(send);
  }

  private keep(send: Send): void {
    if (this.user !== "" && send.kind === "send") this.store.put(this.user, send.stored());
  }

  private unkeep(send: Send): void {
    if (this.user !== "" && send.kind === "send") this.store.remove(this.user, send.clientID);
  }

  /** The connection is lost: what was on its way is sent again on the next. */
  lost(): void {
    clearTimeout(this.timer);
    for (const send of this.waiting.values()) send.flying = false;
    this.flying = 0;
  }

  /** Nothing is sent any more. What is kept stays kept. */
  close(): void {
    this.lost();
    this.closed = true;
    for (const send of this.waiting.values()) {
      send.fail(new ClientError("closed", "closed before the answer came"));
    }
    this.waiting.clear();
  }

  /** Sends what may go. It is called whenever that may have changed. */
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
        this.keep(send);
      }
      send.flying = true;
      this.flying++;
      this.pace.took(now);
      this.handlers.send({ ...send.frame, ref: send.clientID });
    }
  }

  /** The send that is next, or how long to wait for one (0: until something changes). What goes to one channel keeps its order. */
  private next(now: number): { send?: Send; wait: number } {
    let wait = 0;
    if (this.flying >= IN_FLIGHT) return { wait };
    const held = new Set<string>();
    for (const send of this.waiting.values()) {
      if (send.flying || held.has(send.channelID)) continue;
      const pause = this.pace.held(send.channelID, now);
      if (pause > 0) wait = wait === 0 ? pause : Math.min(wait, pause);
      if (pause > 0 || send.expired(now)) {
        held.add(send.channelID);
        continue;
      }
      const breath = this.pace.breath(now);
      return breath > 0 ? { wait: breath } : { send, wait: 0 };
    }
    return { wait };
  }

  /**
   * Decides about sends that the server does not know as repetitions any more: once the channel has shown
   * all that has happened since, without them, they are sent as new.
   */
  private expire(now: number): void {
    for (const send of [...this.waiting.values()]) {
      if (send.flying || !send.expired(now)) continue;
      const channel = this.handlers.channel(send.channelID);
      if (channel && channel.since > send.first) {
        this.failed(send, new ClientError("unknown", "whether it was sent is not known"));
      } else if (channel?.caughtUp) {
        send.first = 0;
      }
    }
  }

  /** Takes an acknowledgement, or nothing of ours. */
  acked(frame: AckFrame): void {
    const send = this.waiting.get(frame.client_id);
    if (send) this.settle(send, { channelID: frame.channel_id, clientID: frame.client_id, id: frame.id, seq: frame.seq, sentAt: frame.sent_at });
    this.pump();
  }

  /** An event of our own is as good as its acknowledgement. The message is shown as the event from now on. */
  seen(event: WireEvent): void {
    const clientID = "client_id" in event ? event.client_id : undefined;
    if (!clientID) return;
    this.shown.delete(clientID);
    const send = this.waiting.get(clientID);
    if (send) this.settle(send, { channelID: event.channel_id, clientID, id: event.id, seq: event.seq, sentAt: event.sent_at });
  }

  /** All up to a seq was handed on, or will be read from the history. */
  passed(channelID: string, seq: number): void {
    for (const [id, send] of this.shown) {
      if (send.channelID === channelID && send.seq !== undefined && send.seq <= seq && send.status !== "failed") this.shown.delete(id);
    }
  }

  private settle(send: Send, ack: Ack): void {
    this.land(send);
    this.unkeep(send);
    send.acknowledge(ack);
    const channel = this.handlers.channel(send.channelID);
    const comes = channel !== undefined && channel.since !== Infinity && channel.pos < ack.seq;
    if (!comes) this.shown.delete(send.clientID); // its event was handed on, or nobody will
    this.handlers.status(send);
  }

  private land(send: Send): void {
    if (send.flying) this.flying--;
    send.flying = false;
    this.waiting.delete(send.clientID);
  }

  private failed(send: Send, error: ClientError): void {
    this.land(send);
    send.fail(error);
    this.keep(send);
    this.handlers.status(send);
  }

  /** Takes an error that answers a send, and says whether it did. */
  refused(frame: ErrorFrame): boolean {
    const send = this.waiting.get(frame.ref ?? "");
    if (!send?.flying) return false;
    const code = frame.code as ClientError["code"];
    if (retryable(code)) {
      this.flying--;
      send.flying = false;
      const wait = frame.retry_after_ms || jitter(REFUSED_MS);
      this.pace.pause(code === "rate_limited" ? undefined : send.channelID, Date.now() + Math.max(wait, 10));
    } else {
      this.failed(send, new ClientError(code, frame.message, frame.retry_after_ms ?? 0));
    }
    this.pump();
    return true;
  }

  /** An event of ours could not be stored. `acknowledged` is its send, if that has settled; else it waits here. */
  notStored(frame: FailedFrame, acknowledged: Send | undefined): void {
    const send = acknowledged ?? this.waiting.get(frame.client_id);
    if (!send) return;
    if (send.kind === "send") this.shown.set(send.clientID, send); // the user may try it again
    this.failed(send, new ClientError("not_stored", `could not be stored: ${frame.reason}`));
  }
}
