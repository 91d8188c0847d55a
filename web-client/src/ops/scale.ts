/** The scales of a chart. Positions are fractions of its width and height, from 0 to 1. */

import { type Key, type Sample, SPAN_MS } from "./samples";

/**
 * The maximum time between two samples that are connected by a line. It is longer than a minute,
 * because browsers let a hidden page poll only once a minute.
 */
const MAX_GAP_MS = 90_000;

/** TICK_MS is the interval between the labels of the time axis. */
const TICK_MS = 2 * 60_000;

/**
 * ticksUpTo returns the labels of the value axis: 0 and two or three multiples of a round number.
 * The last one is at least `max`. The labels for a count are whole numbers.
 */
export function ticksUpTo(max: number, whole: boolean): readonly number[] {
  const least = Math.max(max / 3, whole ? 1 : Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * ([1, 2, 5].find((n) => n * power >= least) ?? 10);
  const count = Math.max(1, Math.ceil(max / step));
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

/**
 * rangeOf returns the upper end of the value axis, which is at least 25% above the limit, if there
 * is one.
 */
export function rangeOf(peak: number | undefined, limit: number | undefined): number {
  return Math.max(peak ?? 0, (limit ?? 0) * 1.25) || 1;
}

/** xOf returns the position of a time in a chart that ends at the time `until`. */
export const xOf = (at: number, until: number): number => 1 - (until - at) / SPAN_MS;

/**
 * timeTicks returns the times to label. No time is so close to an edge that its label would be cut
 * off.
 */
export function timeTicks(until: number): readonly number[] {
  const ticks: number[] = [];
  for (let at = Math.ceil((until - SPAN_MS) / TICK_MS) * TICK_MS; at <= until; at += TICK_MS) {
    const x = xOf(at, until);
    if (x >= 0.05 && x <= 0.95) {
      ticks.push(at);
    }
  }
  return ticks;
}

/**
 * nearest returns the index of the sample that is closest to a time; -1 if there are no samples.
 */
export function nearest(samples: readonly Sample[], at: number): number {
  let found = samples.length - 1;
  while (found > 0 && Math.abs((samples[found - 1]?.at ?? 0) - at) <= Math.abs((samples[found]?.at ?? 0) - at)) {
    found--;
  }
  return found;
}

export interface Point {
  readonly x: number;
  readonly value: number;
}

/**
 * runsOf returns the runs of consecutive samples that contain the metric. Where the metric is
 * unknown, and where samples are far apart, the line has a gap.
 */
export function runsOf(samples: readonly Sample[], key: Key, until: number): readonly (readonly Point[])[] {
  const runs: Point[][] = [];
  let last: number | undefined;
  for (const { at, values } of samples) {
    const value = values[key];
    if (value === undefined) {
      last = undefined;
      continue;
    }
    if (last === undefined || at - last > MAX_GAP_MS) {
      runs.push([]);
    }
    runs.at(-1)?.push({ x: xOf(at, until), value });
    last = at;
  }
  return runs;
}

export function peakOf(samples: readonly Sample[], key: Key): number | undefined {
  const values = samples.flatMap((s) => s.values[key] ?? []);
  return values.length === 0 ? undefined : Math.max(...values);
}

/**
 * pathOf returns an SVG path through the points, in percent of the chart. A run of one point
 * becomes a short dash.
 */
export function pathOf(run: readonly Point[], top: number): string {
  const place = (x: number, value: number): string => `${(100 * x).toFixed(2)},${(100 * (1 - value / top)).toFixed(2)}`;
  const points = run.map((p) => place(p.x, p.value));
  const only = run[0];
  if (run.length === 1 && only !== undefined) {
    points.push(place(only.x + 0.003, only.value));
  }
  return `M${points.join("L")}`;
}
