/**
 * Subscriptions deliver every event in every channel once, in order and without gaps, even across
 * reconnections.
 */

import { ceiling, jitter } from "./backoff.js";
import { ClientError, retryable } from "./errors.js";
import type { Position } from "./events.js";
import { HELLO_CHANNELS, type ChannelSummary, type ErrorFrame, type Hello, type Resync, type Subscribed, type WireEvent } from "./frames.js";

/**
 * MAX_PER_SUBSCRIBE is the maximum number of channels in one subscribe frame, whose size limit is
 * 128 KiB.
 */
const MAX_PER_SUBSCRIBE = 500;
/** MAX_RETRY_DELAY_MS is the maximum delay before a refused subscription is retried. */
const MAX_RETRY_DELAY_MS = 1_000;
/**
 * MAX_PAGE_FAILURES is the maximum number of consecutive failures to fetch missed events. After
 * more failures, the client subscribes again.
 */
const MAX_PAGE_FAILURES = 5;

/**
 * Phase is the state of a channel on the current connection. In `unanswered`, a subscribe frame has
 * been sent; events that arrive before the response belong to an older subscription. In `paging`,
 * missed events are being fetched; events from the socket are dropped, because they arrive again
 * after the next subscribe frame.
 */
type Phase = "idle" | "unanswered" | "following" | "paging";

/** Track is the state of a followed channel. */
export interface Track {
  readonly id: string;
  /** The server's latest description of the channel; undefined until the first one arrives. */
  summary: ChannelSummary | undefined;
  /** The seq of the newest event delivered to the listeners. */
  pos: number;
  epoch: string;
  /**
   * Every event after this time has been delivered. The time is in milliseconds since 1970; 0 means
   * that no event has been skipped.
   */
  since: number;
  phase: Phase;
  /** The ref of the last subscribe. */
  ref: string;
  /**
   * The channel's newest seq when the server answered the subscribe frame. The channel has caught
   * up once `pos` reaches it.
   */
  target: number;
  /**
   * Whether the channel is not followed because the connection has reached its subscription limit.
   */
  leftOut: boolean;
  /**
   * Whether `follow` requested the channel. If the subscription limit is reached, the client then
   * unsubscribes from another channel to make room.
   */
  wanted: boolean;
  /**
   * The time of the subscription or of the last delivered event, whichever is later, in
   * milliseconds since 1970.
   */
  lastActivity: number;
}

export interface SubscriptionHandlers {
  send(frame: object): void;
  /** Fetches the events after a seq. */
  events(channelID: string, after: number): Promise<readonly WireEvent[]>;
  /** The server has described the channel. */
  listed(track: Track): void;
  joined(track: Track, from: Position): void;
  left(track: Track, by: string | undefined, error: ClientError | undefined): void;
  reset(track: Track, from: Position, lost: boolean): void;
  event(track: Track, event: WireEvent): void;
  /** Called when the channel's events start to arrive on the socket. */
  following(track: Track): void;
  /** Called when a channel has caught up or was left, so that sends waiting for it can proceed. */
  settled(): void;
}

/** Subscriptions tracks every followed channel and keeps each one subscribed and up to date. */
export class Subscriptions {
  readonly tracks = new Map<string, Track>();
  private generation = 0; // generation of the connection; work started for an older one is discarded
  private lastRef = 0;
  private readonly timers = new Set<ReturnType<typeof setTimeout>>();
  private catchUps: Promise<void> = Promise.resolve();

  constructor(
    positions: Readonly<Record<string, Position>>,
    private readonly maxCatchUp: number,
    private readonly handlers: SubscriptionHandlers,
  ) {
    for (const [id, p] of Object.entries(positions)) this.tracks.set(id, this.track(id, p.seq, p.epoch, 0));
  }

  private track(id: string, pos: number, epoch: string, since: number): Track {
    return { id, summary: undefined, pos, epoch, since, phase: "idle", ref: "", target: 0, leftOut: false, wanted: false, lastActivity: 0 };
  }

  caughtUp(track: Track): boolean {
    return track.phase === "following" && track.pos >= track.target;
  }

  /** Whether all followed channels have caught up. */
  get allCaughtUp(): boolean {
    for (const track of this.tracks.values()) if (!track.leftOut && !this.caughtUp(track)) return false;
    return true;
  }

  /** lost handles the loss of the connection. */
  lost(): void {
    this.generation++;
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    this.catchUps = Promise.resolve();
    for (const track of this.tracks.values()) [track.phase, track.ref, track.leftOut] = ["idle", "", false];
  }

  /**
   * greet subscribes to every channel. Each subscription starts at the position that this client
   * has reached in the channel.
   */
  greet(hello: Hello, reconnected: boolean): void {
    const whole = hello.channels.length < HELLO_CHANNELS;
    const listed = new Set(hello.channels.map((s) => s.channel_id));
    for (const track of [...this.tracks.values()]) {
      if (whole && !listed.has(track.id)) this.leave(track);
    }
    this.list(hello.channels, reconnected);
    if (!whole) this.subscribe([...this.tracks.values()].filter((t) => t.phase === "idle")); // tracked channels that hello_more will list
    this.handlers.settled();
  }

  /**
   * list records the channel summaries and subscribes to channels that are not subscribed yet. A
   * channel that is new to this client is followed from its newest event. A direct channel created
   * since the client first connected is followed from the user's delivered position. Otherwise, its
   * first message, which created the channel, would be skipped.
   */
  list(summaries: readonly ChannelSummary[], reconnected: boolean): void {
    const unsubscribed: Track[] = [];
    for (const s of summaries) {
      let track = this.tracks.get(s.channel_id);
      if (!track) {
        const pos = reconnected && s.kind === "direct" ? Math.min(s.last_seq, s.last_delivered_seq) : s.last_seq;
        track = this.track(s.channel_id, pos, s.epoch, Date.now());
        this.tracks.set(track.id, track);
      }
      if (track.pos === 0) track.since = 0;
      const known = track.summary !== undefined;
      track.summary = s;
      this.handlers.listed(track);
      if (!known) this.handlers.joined(track, { seq: track.pos, epoch: track.epoch });
      if (track.phase !== "idle") continue;
      if (s.not_followed) this.leaveOut(track);
      else unsubscribed.push(track);
    }
    this.subscribe(unsubscribed);
  }

  /**
   * follow subscribes to a channel that was left out because the user has more channels than a
   * connection can follow. If the limit is reached, the client makes room by unsubscribing from the
   * channel with the least recent activity.
   */
  follow(channelID: string): void {
    const track = this.tracks.get(channelID);
    if (!track?.leftOut) return;
    [track.leftOut, track.wanted] = [false, true];
    this.subscribe([track]);
  }

  private leaveOut(track: Track): void {
    [track.phase, track.ref, track.leftOut, track.wanted] = ["idle", "", true, false];
  }

  /**
   * makeRoom unsubscribes from the channel with the least recent activity. It returns false if
   * there is none.
   */
  private makeRoom(): boolean {
    let oldest: Track | undefined;
    for (const t of this.tracks.values()) if (t.phase === "following" && (oldest === undefined || t.lastActivity < oldest.lastActivity)) oldest = t;
    if (!oldest) return false;
    this.leaveOut(oldest);
    this.handlers.send({ type: "unsubscribe", channel_id: oldest.id });
    return true;
  }

  removed(channelID: string, by: string): void {
    const track = this.tracks.get(channelID);
    if (track) this.leave(track, by);
  }

  private leave(track: Track, by?: string, error?: ClientError): void {
    if (!this.tracks.delete(track.id)) return;
    this.handlers.left(track, by, error);
    this.handlers.settled();
  }

  /**
   * subscribe subscribes to the channels. Each subscription starts at the position that this client
   * has reached in the channel.
   */
  private subscribe(tracks: readonly Track[]): void {
    for (let i = 0; i < tracks.length; i += MAX_PER_SUBSCRIBE) {
      const part = tracks.slice(i, i + MAX_PER_SUBSCRIBE);
      const ref = `sub-${++this.lastRef}`;
      for (const track of part) [track.phase, track.ref] = ["unanswered", ref];
      const channels = part.map((t) => ({ channel_id: t.id, last_seen_seq: t.pos, epoch: t.epoch }));
      this.handlers.send({ type: "subscribe", ref, channels });
    }
  }

  /**
   * awaiting returns the channel that a subscribe response refers to, or undefined if the response
   * is out of date.
   */
  private awaiting(ref: string, channelID: string): Track | undefined {
    const track = this.tracks.get(channelID);
    return track?.phase === "unanswered" && track.ref === ref ? track : undefined;
  }

  subscribed(frame: Subscribed): void {
    const track = this.awaiting(frame.ref ?? "", frame.channel_id);
    if (!track) return;
    const from = { seq: track.pos, epoch: track.epoch };
    track.epoch = frame.epoch;
    track.target = frame.last_seq;
    [track.wanted, track.lastActivity] = [false, Date.now()];
    if (!frame.has_more) {
      track.phase = "following";
      this.handlers.following(track);
    } else if (frame.last_seq - track.pos > this.maxCatchUp) {
      this.skip(track, frame.last_seq, frame.epoch);
      this.handlers.reset(track, from, false);
    } else {
      track.phase = "paging";
      const { generation } = this;
      // Catch up one channel at a time, to limit the number of concurrent requests.
      this.catchUps = this.catchUps.then(() => this.catchUp(track, generation));
    }
    this.handlers.settled();
  }

  /**
   * resync handles a resync frame: the channel's numbering was lost, and a new epoch has started.
   * The frame may answer a subscribe frame or arrive at any other time.
   */
  resync(frame: Resync): void {
    let track = this.tracks.get(frame.channel_id);
    if (frame.ref) track = this.awaiting(frame.ref, frame.channel_id);
    else if (track?.phase !== "following") return; // the response to the pending subscribe will report it too
    if (!track) return;
    const from = { seq: track.pos, epoch: track.epoch };
    this.skip(track, frame.last_seq, frame.epoch);
    this.handlers.reset(track, from, true);
    this.handlers.settled();
  }

  private skip(track: Track, seq: number, epoch: string): void {
    track.phase = "following";
    track.pos = track.target = seq;
    track.epoch = epoch;
    track.since = Date.now();
    this.handlers.following(track);
  }

  /**
   * refused handles an error frame if it answers a subscribe frame, and reports whether it handled
   * the frame.
   */
  refused(frame: ErrorFrame): boolean {
    const asked = [...this.tracks.values()].filter((t) => t.phase === "unanswered" && t.ref === frame.ref);
    const named = asked.find((t) => t.id === frame.channel_id) ?? (asked.length === 1 ? asked[0] : undefined);
    if (named) this.subscribeRefused(named, frame);
    else for (const track of asked) this.subscribe([track]); // the whole frame was refused
    return asked.length > 0;
  }

  private subscribeRefused(track: Track, frame: ErrorFrame): void {
    const error = new ClientError(frame.code as ClientError["code"], frame.message, frame.retry_after_ms ?? 0, frame.errors);
    if (frame.code === "rate_limited") { // the subscription limit is reached
      if (track.wanted && this.makeRoom()) return this.subscribe([track]);
      this.leaveOut(track);
      return this.handlers.settled();
    }
    if (!retryable(frame.code)) return this.leave(track, undefined, error);
    track.phase = "idle";
    this.later(Math.max(error.retryAfterMs, jitter(MAX_RETRY_DELAY_MS)), () => {
      if (this.tracks.get(track.id) === track && track.phase === "idle") this.subscribe([track]);
    });
  }

  /** later calls `act` after a delay, unless the connection is lost first. */
  private later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      act();
    }, ms);
    this.timers.add(timer);
  }

  /** handleEvent handles an event from the socket. */
  handleEvent(event: WireEvent): void {
    const track = this.tracks.get(event.channel_id);
    if (track?.phase !== "following" || event.seq <= track.pos) return; // belongs to an ended subscription
    if (event.seq > track.pos + 1) return this.subscribe([track]); // a gap violates the protocol: subscribe again from pos
    this.advance(track, event);
    if (track.pos === track.target) this.handlers.settled();
  }

  private advance(track: Track, event: WireEvent): void {
    if (event.seq !== track.pos + 1) return;
    [track.pos, track.lastActivity] = [event.seq, Date.now()];
    this.handlers.event(track, event);
  }

  /**
   * catchUp fetches the events that the socket does not replay, up to the start of the
   * subscription. It then subscribes again from the last fetched event, because events from the
   * socket were dropped during the fetch.
   */
  private async catchUp(track: Track, generation: number): Promise<void> {
    const wanted = (): boolean => this.generation === generation && this.tracks.get(track.id) === track && track.phase === "paging";
    for (let failures = 0; wanted(); ) {
      if (track.pos >= track.target || failures > MAX_PAGE_FAILURES) return this.subscribe([track]); // the gateway may replay the rest
      const after = track.pos;
      try {
        const page = await this.handlers.events(track.id, after);
        for (const event of page) if (wanted()) this.advance(track, event);
      } catch (error) {
        const refusal = error instanceof ClientError && (error.code === "forbidden" || error.code === "not_found");
        if (refusal && wanted()) return this.leave(track, undefined, error);
      }
      if (track.pos > after) failures = 0;
      else await new Promise<void>((resolve) => this.later(jitter(ceiling(++failures)), resolve));
    }
  }
}
