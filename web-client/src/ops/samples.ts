/**
 * What the charts show: a sample of each figure for each time that the services were asked, over ten minutes.
 *
 * Counters become rates here. They are compared instance by instance, since the sum over all falls when one begins
 * anew; an instance that is seen for the first time tells nothing yet.
 */

import type { OpsFigures, OpsMetrics } from "@parley/client";

/** How far back the charts go. */
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
  | "overBudget"
  | "unsafeSettings"
  | "errors"
  | "requests";

export interface Sample {
  /** When the services were asked, in ms since 1970. */
  readonly at: number;
  /** What nobody could say is absent. */
  readonly values: Readonly<Partial<Record<Key, number>>>;
}

type Counter = Exclude<keyof OpsFigures, "connections">;

/** How much a counter has grown on all instances together; undefined when none has it on both sides. */
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

/** The figures at one time; with what was there before, the rates too. */
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

/** The samples with one more; what is too old to be shown goes. */
export function extended(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  return [...samples.filter((s) => s.at > sample.at - SPAN_MS && s.at < sample.at), sample];
}
