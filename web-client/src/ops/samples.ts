/**
 * The data for the charts: one sample of each metric per request, over the last ten minutes.
 *
 * Counters are converted to rates here. They are compared per instance, because the sum falls when
 * an instance restarts. The first sample from an instance yields no rate.
 */

import type { OpsFigures, OpsMetrics } from "@parley/client";

/** SPAN_MS is the time range of the charts. */
export const SPAN_MS = 10 * 60_000;

export type Key =
  | "connections"
  | "sends"
  | "deliveries"
  | "inserted"
  | "entries"
  | "lagSeconds"
  | "waiting"
  | "pending"
  | "dead"
  | "vanished"
  | "retries"
  | "receiptsSeconds"
  | "memory"
  | "overBudget"
  | "unsafeSettings"
  | "errors"
  | "requests";

export interface Sample {
  /** When the metrics were requested, in milliseconds since 1970. */
  readonly at: number;
  /** Unknown metrics are absent. */
  readonly values: Readonly<Partial<Record<Key, number>>>;
}

type Counter = Exclude<keyof OpsFigures, "connections">;

/**
 * growth returns the increase of a counter across all instances, or undefined if no instance
 * reported the counter in both responses.
 */
function growth(counter: Counter, before: OpsMetrics, now: OpsMetrics): number | undefined {
  let total: number | undefined;
  for (const target of now.targets) {
    const was = before.targets.find((t) => t.url === target.url)?.figures[counter] ?? null;
    const is = target.figures[counter];
    if (was !== null && is !== null) {
      total = (total ?? 0) + (is < was ? is : is - was);
    }
  }
  return total;
}

/**
 * sampleOf returns the values from one response. If the previous response is given, it also returns
 * the rates between the two responses.
 */
export function sampleOf(now: OpsMetrics, before?: OpsMetrics): Sample {
  const values: Partial<Record<Key, number>> = {};
  const set = (key: Key, value: number | null | undefined): void => {
    if (value !== null && value !== undefined) {
      values[key] = value;
    }
  };
  set("connections", now.totals.connections);
  if (now.streams.known) {
    const { streams } = now;
    set("entries", streams.entries);
    set("lagSeconds", streams.lag_seconds);
    set("waiting", streams.lag_entries + streams.pending);
    set("pending", streams.pending);
    set("dead", streams.dead);
    set("vanished", streams.vanished);
    set("receiptsSeconds", streams.receipts_seconds);
    set("unsafeSettings", streams.unsafe_settings.length);
    set("memory", streams.memory_share === null ? null : 100 * streams.memory_share);
    set("overBudget", streams.memory_over_budget ? 1 : 0);
  }
  const at = Date.parse(now.at);
  const seconds = before === undefined ? 0 : (at - Date.parse(before.at)) / 1000;
  if (before !== undefined && seconds > 0) {
    for (const counter of ["sends", "deliveries", "inserted", "retries", "errors", "requests"] as const) {
      const grown = growth(counter, before, now);
      set(counter, grown === undefined ? undefined : grown / seconds);
    }
  }
  return { at, values };
}

/**
 * byMinute returns one sample for each minute, with the highest value of each metric, for a table.
 * The newest minute is first.
 */
export function byMinute(samples: readonly Sample[]): readonly Sample[] {
  const minutes = new Map<number, Partial<Record<Key, number>>>();
  for (const sample of samples) {
    const at = Math.floor(sample.at / 60_000) * 60_000;
    const highest = minutes.get(at) ?? {};
    minutes.set(at, highest);
    for (const [key, value] of Object.entries(sample.values) as [Key, number][]) {
      highest[key] = Math.max(value, highest[key] ?? value);
    }
  }
  return [...minutes].map(([at, values]) => ({ at, values })).reverse();
}

/** extended returns the samples with a new one added and the outdated ones removed. */
export function extended(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  return [...samples.filter((s) => s.at > sample.at - SPAN_MS && s.at < sample.at), sample];
}
