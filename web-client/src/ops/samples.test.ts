import type { OpsFigures, OpsMetrics } from "@parley/client";
import { expect, test } from "vitest";

import { byMinute, extended, sampleOf, SPAN_MS } from "./samples";

const none: OpsFigures = { connections: null, sends: null, deliveries: null, errors: null, inserted: null, retries: null, requests: null };

function metrics(second: number, sends: readonly (number | null)[], known = true): OpsMetrics {
  return {
    at: new Date(second * 1000).toISOString(),
    targets: sends.map((n, i) => ({ url: `http://ws-${i}`, up: n !== null, problem: null, figures: { ...none, sends: n } })),
    totals: { ...none, connections: 7 },
    streams: {
      known,
      entries: 9,
      lag_entries: 3,
      lag_seconds: 1.5,
      pending: 2,
      dead: 0,
      receipts: 0,
      receipts_seconds: 0,
      memory_share: 0.25,
      memory_over_budget: true,
      vanished: 0,
      unsafe_settings: ["appendonly"],
    },
    partitions: [],
  };
}

test("a rate is the growth over all instances divided by the time between the readings", () => {
  expect(sampleOf(metrics(12, [30, 5]), metrics(10, [10, 5])).values.sends).toBe(10);
});

test("an instance that restarted has grown from zero, without reducing the total", () => {
  expect(sampleOf(metrics(12, [30, 4]), metrics(10, [10, 1000])).values.sends).toBe(12);
});

test("an instance without both readings is ignored", () => {
  expect(sampleOf(metrics(12, [30, 1000]), metrics(10, [10, null])).values.sends).toBe(10);
  expect(sampleOf(metrics(12, [null]), metrics(10, [10])).values.sends).toBeUndefined();
});

test("one reading, or two at the same time, yield no rate", () => {
  expect(sampleOf(metrics(12, [30])).values.sends).toBeUndefined();
  expect(sampleOf(metrics(12, [30]), metrics(12, [10])).values.sends).toBeUndefined();
});

test("gauges are copied, except those of streams in an unknown state", () => {
  const { values } = sampleOf(metrics(12, []));
  expect(values).toMatchObject({ connections: 7, entries: 9, waiting: 5, lagSeconds: 1.5, memory: 25, overBudget: 1, unsafeSettings: 1 });
  expect(sampleOf(metrics(12, [], false)).values).toEqual({ connections: 7 });
});

test("samples older than ten minutes are removed, and samples are in order of time", () => {
  const at = (t: number): { at: number; values: object } => ({ at: t, values: {} });
  expect(extended([at(0), at(5)], at(SPAN_MS + 1))).toEqual([at(5), at(SPAN_MS + 1)]);
  expect(extended([at(5)], at(5))).toEqual([at(5)]);
});

test("a minute has the highest value of each figure, and the newest minute is first", () => {
  const samples = [
    { at: 59_000, values: { sends: 1 } },
    { at: 60_000, values: { sends: 2, dead: 0 } },
    { at: 62_000, values: { sends: 7 } },
    { at: 64_000, values: { sends: 3, dead: 1 } },
    { at: 120_000, values: {} },
  ];
  expect(byMinute(samples)).toEqual([
    { at: 120_000, values: {} },
    { at: 60_000, values: { sends: 7, dead: 1 } },
    { at: 0, values: { sends: 1 } },
  ]);
});
