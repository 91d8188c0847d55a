/** Every event of every channel once, in order, without a hole, over any number of connections. */

import { ceiling, jitter } from "./backoff.js";
import { ClientError, retryable } from "./errors.js";
import type { Position } from "./events.js";
import { HELLO_CHANNELS, type ChannelSummary, type ErrorFrame, type Hello, type Resync, type Subscribed, type WireEvent } from "./frames.js";

/** How many channels are asked for in one frame, which may have 128 KiB. */
const PER_SUBSCRIBE = 500;
/** The most that is waited before a channel is asked for again. */
const ASK_AGAIN_MS = 1_000;
/** How often a page of missed events is tried before the gateway is asked again. */
const PAGE_FAILURES = 5;

/**
 * Where a channel stands on the connection of now. `unanswered`: subscribe is sent; what comes before its
 * answer is of an older subscription. `paging`: events are fetched; those on the socket come again later.
 */
type Phase = "idle" | "unanswered" | "following" | "paging";

/** What is known of a channel that is followed. */
export interface Track {
  readonly id: string;
  /** The server has told us of it. */
  summary: ChannelSummary | undefined;
  /** The newest event that was handed on. */
  pos: number;
  epoch: string;
  /** All events since then were seen; 0: all that matter. */
  since: number;
  phase: Phase;
  /** Of the subscribe. */
  ref: string;
  /** The newest event at the time of the answer: then we have caught up. */
  target: number;
  /** Not followed: the connection has no room. */
  aside: boolean;
  /** It was asked for by `follow`, and another channel makes room. */
  wanted: boolean;
  /** When the newest event was handed on, or the channel was subscribed to. */
  moved: number;
}

export interface SubscriptionHandlers {
  send(frame: object): void;
  /** Fetches the events after a seq. */
  events(channelID: string, after: number): Promise<readonly WireEvent[]>;
  /** The server has told how a channel is. */
  listed(track: Track): void;
  joined(track: Track, from: Position): void;
  left(track: Track, by: string | undefined, error: ClientError | undefined): void;
  reset(track: Track, from: Position, lost: boolean): void;
  event(track: Track, event: WireEvent): void;
  /** Events of a channel come on the socket from now on. */
  following(track: Track): void;
  /** A channel has caught up, or has gone: sends that waited for it may go. */
  settled(): void;
}

/** A subscribe that is not answered wholly. */
export class Subscriptions {
  readonly tracks = new Map<string, Track>();
  private connection = 0; // counts: what was begun on an older one is void
  private lastRef = 0;
  private readonly timers = new Set<ReturnType<typeof setTimeout>>();
  private jobs: Promise<void> = Promise.resolve();

  constructor(
    positions: Readonly<Record<string, Position>>,
    private readonly maxCatchUp: number,
    private readonly handlers: SubscriptionHandlers,
  ) {
    for (const [id, p] of Object.entries(positions)) this.tracks.set(id, this.track(id, p.seq, p.epoch, 0));
  }

  private track(id: string, pos: number, epoch: string, since: number): Track {
    return { id, summary: undefined, pos, epoch, since, phase: "idle", ref: "", target: 0, aside: false, wanted: false, moved: 0 };
  }

  caughtUp(track: Track): boolean {
    return track.phase === "following" && track.pos >= track.target;
  }

  /** Whether all channels that are followed have caught up. */
  get allCaughtUp(): boolean {
    for (const track of this.tracks.values()) if (!track.aside && !this.caughtUp(track)) return false;
    return true;
  }

  /** The connection is lost. */
  lost(): void {
    this.connection++;
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    this.jobs = Promise.resolve();
    for (const track of this.tracks.values()) [track.phase, track.ref, track.aside] = ["idle", "", false];
  }

  /** Follows every channel, each from where it was. */
  greet(hello: Hello, again: boolean): void {
    const whole = hello.channels.length < HELLO_CHANNELS;
    const listed = new Set(hello.channels.map((s) => s.channel_id));
    for (const track of [...this.tracks.values()]) {
      if (whole && !listed.has(track.id)) this.leave(track);
    }
    this.list(hello.channels, again);
    if (!whole) this.ask([...this.tracks.values()].filter((t) => t.phase === "idle")); // what we know of those in hello_more
    this.handlers.settled();
  }

  /**
   * Takes summaries and subscribes to what is not yet. A channel that is new to us is followed from its
   * newest event on; a direct one that was made since the first greeting, from the user's delivered cursor,
   * since it is a first message that makes it.
   */
  list(summaries: readonly ChannelSummary[], again: boolean): void {
    const ask: Track[] = [];
    for (const s of summaries) {
      let track = this.tracks.get(s.channel_id);
      if (!track) {
        const pos = again && s.kind === "direct" ? Math.min(s.last_seq, s.last_delivered_seq) : s.last_seq;
        track = this.track(s.channel_id, pos, s.epoch, Date.now());
        this.tracks.set(track.id, track);
      }
      if (track.pos === 0) track.since = 0;
      const known = track.summary !== undefined;
      track.summary = s;
      this.handlers.listed(track);
      if (!known) this.handlers.joined(track, { seq: track.pos, epoch: track.epoch });
      if (track.phase !== "idle") continue;
      if (s.not_followed) this.setAside(track);
      else ask.push(track);
    }
    this.ask(ask);
  }

  /**
   * Follows a channel that is left out, since the user has more than a connection follows. Where there is no room
   * the channel in which nothing happened for the longest time is left out in its place.
   */
  follow(channelID: string): void {
    const track = this.tracks.get(channelID);
    if (!track?.aside) return;
    [track.aside, track.wanted] = [false, true];
    this.ask([track]);
  }

  private setAside(track: Track): void {
    [track.phase, track.ref, track.aside, track.wanted] = ["idle", "", true, false];
  }

  /** Ends the subscription to the channel in which nothing happened for the longest time, and says whether there was one. */
  private makeRoom(): boolean {
    let oldest: Track | undefined;
    for (const t of this.tracks.values()) if (t.phase === "following" && (oldest === undefined || t.moved < oldest.moved)) oldest = t;
    if (!oldest) return false;
    this.setAside(oldest);
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

  /** Subscribes to channels, each from where it stands. */
  private ask(tracks: readonly Track[]): void {
    for (let i = 0; i < tracks.length; i += PER_SUBSCRIBE) {
      const part = tracks.slice(i, i + PER_SUBSCRIBE);
      const ref = `sub-${++this.lastRef}`;
      for (const track of part) [track.phase, track.ref] = ["unanswered", ref];
      const channels = part.map((t) => ({ channel_id: t.id, last_seen_seq: t.pos, epoch: t.epoch }));
      this.handlers.send({ type: "subscribe", ref, channels });
    }
  }

  /** The channel that an answer to a subscribe is of, or undefined when it is out of date. */
  private answered(ref: string, channelID: string): Track | undefined {
    const track = this.tracks.get(channelID);
    return track?.phase === "unanswered" && track.ref === ref ? track : undefined;
  }

  subscribed(frame: Subscribed): void {
    const track = this.answered(frame.ref ?? "", frame.channel_id);
    if (!track) return;
    const from = { seq: track.pos, epoch: track.epoch };
    track.epoch = frame.epoch;
    track.target = frame.last_seq;
    [track.wanted, track.moved] = [false, Date.now()];
    if (!frame.has_more) {
      track.phase = "following";
      this.handlers.following(track);
    } else if (frame.last_seq - track.pos > this.maxCatchUp) {
      this.skip(track, frame.last_seq, frame.epoch);
      this.handlers.reset(track, from, false);
    } else {
      track.phase = "paging";
      const { connection } = this;
      // One after the other: pages of many channels at once would be a flood.
      this.jobs = this.jobs.then(() => this.catchUp(track, connection));
    }
    this.handlers.settled();
  }

  /** An answer to a subscribe, or unasked. */
  resync(frame: Resync): void {
    let track = this.tracks.get(frame.channel_id);
    if (frame.ref) track = this.answered(frame.ref, frame.channel_id);
    else if (track?.phase !== "following") return; // the answer to the subscribe that is under way says it too
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

  /** Takes an error if it answers a subscribe, and says whether it did. */
  refused(frame: ErrorFrame): boolean {
    const asked = [...this.tracks.values()].filter((t) => t.phase === "unanswered" && t.ref === frame.ref);
    const named = asked.find((t) => t.id === frame.channel_id) ?? (asked.length === 1 ? asked[0] : undefined);
    if (named) this.askRefused(named, frame);
    else for (const track of asked) this.ask([track]); // the frame as a whole was refused
    return asked.length > 0;
  }

  private askRefused(track: Track, frame: ErrorFrame): void {
    const error = new ClientError(frame.code as ClientError["code"], frame.message, frame.retry_after_ms ?? 0);
    if (frame.code === "rate_limited") { // that would be one subscription too many
      if (track.wanted && this.makeRoom()) return this.ask([track]);
      this.setAside(track);
      return this.handlers.settled();
    }
    if (!retryable(frame.code)) return this.leave(track, undefined, error);
    track.phase = "idle";
    this.later(Math.max(error.retryAfterMs, jitter(ASK_AGAIN_MS)), () => {
      if (this.tracks.get(track.id) === track && track.phase === "idle") this.ask([track]);
    });
  }

  /** Does something after a while, on this connection or not at all. */
  private later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      act();
    }, ms);
    this.timers.add(timer);
  }

  /** Takes an event from the socket. */
  take(event: WireEvent): void {
    const track = this.tracks.get(event.channel_id);
    if (track?.phase !== "following" || event.seq <= track.pos) return; // of a subscription that has ended
    if (event.seq > track.pos + 1) return this.ask([track]); // against the protocol: a hole is never shown
    this.advance(track, event);
    if (track.pos === track.target) this.handlers.settled();
  }

  private advance(track: Track, event: WireEvent): void {
    if (event.seq !== track.pos + 1) return;
    [track.pos, track.moved] = [event.seq, Date.now()];
    this.handlers.event(track, event);
  }

  /**
   * Fetches what the socket does not replay, up to where the subscription has begun, and then subscribes
   * from there: events on the socket were passed over meanwhile.
   */
  private async catchUp(track: Track, connection: number): Promise<void> {
    const wanted = (): boolean => this.connection === connection && this.tracks.get(track.id) === track && track.phase === "paging";
    for (let failures = 0; wanted(); ) {
      if (track.pos >= track.target || failures > PAGE_FAILURES) return this.ask([track]); // then the gateway may know more
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
