/** A line chart of the last ten minutes. Its label states the current and the highest value. */

import type { JSX } from "preact";

import { type Figure, shown } from "./figures";
import { type Key, type Sample, SPAN_MS } from "./samples";

const WIDTH = 300;
const HEIGHT = 56;

interface Point {
  readonly x: number;
  readonly value: number;
}

/**
 * runsOf returns the runs of consecutive samples that contain the figure. Where the figure is
 * unknown, the line has a gap.
 */
export function runsOf(samples: readonly Sample[], key: Key, until: number): readonly (readonly Point[])[] {
  const runs: Point[][] = [];
  let open: Point[] | undefined;
  for (const sample of samples) {
    const value = sample.values[key];
    if (value === undefined) {
      open = undefined;
      continue;
    }
    if (open === undefined) {
      open = [];
      runs.push(open);
    }
    open.push({ x: WIDTH * (1 - (until - sample.at) / SPAN_MS), value });
  }
  return runs;
}

export function peakOf(samples: readonly Sample[], key: Key): number | undefined {
  const values = samples.flatMap((s) => s.values[key] ?? []);
  return values.length === 0 ? undefined : Math.max(...values);
}

/** pathOf returns an SVG path through the points. A run of one point becomes a short dash. */
export function pathOf(run: readonly Point[], top: number): string {
  const y = (value: number): string => (HEIGHT - 1 - (HEIGHT - 3) * (value / top)).toFixed(1);
  const points = run.map((p) => `${p.x.toFixed(1)},${y(p.value)}`);
  const only = run[0];
  if (run.length === 1 && only !== undefined) {
    points.push(`${(only.x + 1).toFixed(1)},${y(only.value)}`);
  }
  return `M${points.join("L")}`;
}

export function Chart({ figure, samples }: { readonly figure: Figure; readonly samples: readonly Sample[] }): JSX.Element {
  const newest = samples.at(-1);
  const peak = peakOf(samples, figure.key);
  // Draw the limit only if the figure has come close to it. If the limit is far above the figure, a
  // scale that includes it would flatten the line.
  const limit = figure.alert?.above ?? 0;
  const limitShown = limit > 0 && peak !== undefined && peak > limit / 2;
  const top = Math.max(peak ?? 0, limitShown ? limit : 0) || 1;
  const label = `${figure.title} over the last ten minutes: current ${shown(newest?.values[figure.key])}, maximum ${shown(peak)} ${figure.unit}`;
  return (
    <svg class="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label.trim()}>
      <path class="chart-floor" d={`M0,${HEIGHT - 1}H${WIDTH}`} />
      {limitShown && <path class="chart-limit" d={pathOf([{ x: 0, value: limit }, { x: WIDTH, value: limit }], top)} />}
      {runsOf(samples, figure.key, newest?.at ?? 0).map((run, i) => (
        <path key={i} class="chart-line" d={pathOf(run, top)} />
      ))}
    </svg>
  );
}
