/** When sends may go: the server's rate limit, and what it has refused for a while. */

import type { Limits } from "./frames.js";

/** What the way to the server may differ. */
const MARGIN_MS = 100;

/** Holds sends back. Whoever breaks the rate limit is blocked for much longer than whoever keeps it. */
export class Pace {
  limits: Limits | undefined;
  private readonly paused = new Map<string, number>(); // by channel; "" is all of them
  private recent: number[] = []; // when the last sends were made

  /** How long to wait with what goes to a channel. 0: it may go. */
  held(channelID: string, now: number): number {
    return Math.max(this.pausedFor("", now), this.pausedFor(channelID, now));
  }

  /** Holds back what goes to a channel. A rate limit holds back everything: it is the user's. */
  pause(channelID: string | undefined, until: number): void {
    const key = channelID ?? "";
    this.paused.set(key, Math.max(until, this.paused.get(key) ?? 0));
  }

  /** How long to wait so that the rate limit is kept. */
  breath(now: number): number {
    const { rate_messages: n, rate_seconds: seconds } = this.limits ?? { rate_messages: 0, rate_seconds: 0 };
    const oldest = this.recent[this.recent.length - n];
    if (n <= 0 || oldest === undefined) return 0;
    return Math.max(0, oldest + seconds * 1000 + MARGIN_MS - now);
  }

  /** Something was sent. */
  took(now: number): void {
    const n = this.limits?.rate_messages ?? 0;
    if (n <= 0) return;
    this.recent.push(now);
    if (this.recent.length > 2 * n) this.recent = this.recent.slice(-n);
  }

  private pausedFor(key: string, now: number): number {
    const left = (this.paused.get(key) ?? 0) - now;
    if (left <= 0) this.paused.delete(key);
    return Math.max(0, left);
  }
}
