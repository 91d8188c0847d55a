import { expect, test } from "vitest";

import { moved } from "./reading";
import { type Sample, SPAN_MS } from "./samples";
import { nearest, pathOf, peakOf, rangeOf, runsOf, ticksUpTo, timeTicks, xOf } from "./scale";

const at = (...times: readonly number[]): readonly Sample[] => times.map((t) => ({ at: t, values: { sends: t } }));

test("the ticks are round numbers up to at least the maximum", () => {
  for (const [max, ticks] of [
    [75, [0, 50, 100]],
    [87.5, [0, 50, 100]],
    [625_000, [0, 500_000, 1_000_000]],
    [3, [0, 1, 2, 3]],
    [1, [0, 0.5, 1]],
    [0.25, [0, 0.1, 0.2, 0.3]],
  ] as const) {
    ticksUpTo(max, false).forEach((tick, i) => expect(tick, `${max}`).toBeCloseTo(ticks[i] ?? NaN, 9));
    expect(ticksUpTo(max, false)).toHaveLength(ticks.length);
  }
});

test("the ticks of a count are whole numbers", () => {
  expect(ticksUpTo(1, true)).toEqual([0, 1]);
  expect(ticksUpTo(2, true)).toEqual([0, 1, 2]);
});

test("the limit is always in view, with room above it", () => {
  expect(rangeOf(0.1, 60)).toBe(75);
  expect(rangeOf(300, 60)).toBe(300);
  expect(rangeOf(0, 0)).toBe(1);
  expect(rangeOf(undefined, undefined)).toBe(1);
});

test("the time axis has a label every two minutes, none at an edge", () => {
  const minute = 60_000;
  const until = 100 * minute;
  expect(timeTicks(until)).toEqual([92, 94, 96, 98].map((n) => n * minute));
  expect(timeTicks(until + 10_000)).toEqual([92, 94, 96, 98].map((n) => n * minute));
  expect(timeTicks(until + minute)).toEqual([92, 94, 96, 98, 100].map((n) => n * minute));
  expect([xOf(until, until), xOf(until - SPAN_MS, until)]).toEqual([1, 0]);
});

test("the sample nearest to a time is found", () => {
  const samples = at(0, 2000, 4000);
  expect([-5000, 0, 900, 1100, 3900, 9000].map((t) => nearest(samples, t))).toEqual([0, 0, 0, 1, 2, 2]);
  expect(nearest([], 0)).toBe(-1);
});

test("keys move the reading within the samples", () => {
  const samples = at(...Array.from({ length: 100 }, (_, i) => i * 2000));
  const from = (key: string, time: number): number | undefined => moved(key, samples, time);
  expect([from("ArrowLeft", 4000), from("ArrowRight", 4000), from("ArrowLeft", 0), from("ArrowRight", 198_000)]).toEqual([2000, 6000, 0, 198_000]);
  expect([from("PageDown", 100_000), from("PageUp", 100_000), from("PageDown", 10_000)]).toEqual([40_000, 160_000, 0]);
  expect([from("Home", 4000), from("End", 4000), from("Tab", 4000)]).toEqual([0, 198_000, undefined]);
  expect(moved("Home", [], 0)).toBeUndefined();
});

test("a line has a gap where the figure is unknown or the samples are far apart", () => {
  const samples = [1, undefined, 3, 5].map((n, i) => ({ at: i * 1000, values: n === undefined ? {} : { sends: n } }));
  const runs = runsOf(samples, "sends", 3000);
  expect(runs.map((run) => run.map((p) => p.value))).toEqual([[1], [3, 5]]);
  expect(runs[1]?.[1]?.x).toBe(1);
  expect(runsOf(at(0, 60_000, 200_000), "sends", 200_000).map((run) => run.length)).toEqual([2, 1]);
  expect(peakOf(samples, "sends")).toBe(5);
  expect(peakOf([], "sends")).toBeUndefined();
});

test("a path is in percent of the chart", () => {
  expect(pathOf([{ x: 0, value: 0 }, { x: 0.5, value: 5 }, { x: 1, value: 10 }], 10)).toBe("M0.00,100.00L50.00,50.00L100.00,0.00");
  expect(pathOf([{ x: 0, value: 10 }], 10)).toBe("M0.00,0.00L0.30,0.00");
});
