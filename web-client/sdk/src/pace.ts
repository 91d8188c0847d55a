/**
 * Decides when messages may be sent: within the server's rate limit, and not before the backoff
 * after a refusal has passed.
 */

import type { Limits } from "./frames.js";

/** MARGIN_MS allows for variation in network latency. */
const MARGIN_MS = 100;

/**
 * Pace delays sends to stay within the rate limit, because a user who exceeds it is blocked for
 * much longer than the delay.
 */
export class Pace {
  limits: Limits | undefined;
  private readonly pausedUntil = new Map<string, number>(); // when each channel's pause ends; the key "" stands for all channels
  private recent: number[] = []; // the times of the most recent sends, in milliseconds since 1970

  /**
   * channelDelay returns the number of milliseconds that sends to the channel must wait, or 0 if
   * they may be sent now.
   */
  channelDelay(channelID: string, now: number): number {
    return Math.max(this.pausedFor("", now), this.pausedFor(channelID, now));
  }

  /**
   * pause delays sends to one channel until the given time. If channelID is undefined, it delays
   * sends to all channels, because the rate limit applies per user.
   */
  pause(channelID: string | undefined, until: number): void {
    const key = channelID ?? "";
    this.pausedUntil.set(key, Math.max(until, this.pausedUntil.get(key) ?? 0));
  }

  /** rateDelay returns the number of milliseconds to wait to stay within the rate limit. */
  rateDelay(now: number): number {
    const { rate_messages: n, rate_seconds: seconds } = this.limits ?? { rate_messages: 0, rate_seconds: 0 };
    const oldest = this.recent[this.recent.length - n];
    if (n <= 0 || oldest === undefined) return 0;
    return Math.max(0, oldest + seconds * 1000 + MARGIN_MS - now);
  }

  /** recordSend counts one send toward the rate limit. */
  recordSend(now: number): void {
    const n = this.limits?.rate_messages ?? 0;
    if (n <= 0) return;
    this.recent.push(now);
    if (this.recent.length > 2 * n) this.recent = this.recent.slice(-n);
  }

  private pausedFor(key: string, now: number): number {
    const left = (this.pausedUntil.get(key) ?? 0) - now;
    if (left <= 0) this.pausedUntil.delete(key);
    return Math.max(0, left);
  }
}
