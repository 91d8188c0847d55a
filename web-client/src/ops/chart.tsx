/**
 * A line chart of the last ten minutes, with the limit of the metric's alert. When the user points
 * at the chart, it shows the value at the corresponding time. A large chart has axes and supports
 * the keyboard: it is a slider over time, because screen readers pass the arrow keys to sliders and
 * speak their values.
 */

import type { HTMLAttributes, JSX, TargetedPointerEvent } from "preact";

import { type Figure } from "./figures";
import { brief, clock, measured, minuteClock, shown } from "./format";
import { moved, reading } from "./reading";
import { type Sample, SPAN_MS } from "./samples";
import { nearest, pathOf, peakOf, rangeOf, runsOf, ticksUpTo, timeTicks, xOf } from "./scale";

export interface ChartProps {
  readonly figure: Figure;
  readonly samples: readonly Sample[];
  readonly large?: boolean;
}

const percent = (share: number): string => `${(100 * share).toFixed(2)}%`;

export function Chart({ figure, samples, large = false }: ChartProps): JSX.Element {
  const until = samples.at(-1)?.at ?? 0;
  const peak = peakOf(samples, figure.key);
  const ticks = ticksUpTo(rangeOf(peak, figure.alert?.above), figure.whole === true);
  const top = ticks.at(-1) ?? 1;
  const heightOf = (value: number): string => percent(value / top);
  const times = large && samples.length > 0 ? timeTicks(until) : [];
  return (
    <div class={large ? "chart chart-large" : "chart"} data-testid={`ops-chart-${figure.key}`}>
      {large && (
        <div class="chart-values" aria-hidden="true">
          {ticks.map((value) => (
            <span key={value} style={{ bottom: heightOf(value) }}>
              {brief(value)}
            </span>
          ))}
        </div>
      )}
      <div class="chart-plot" {...plotAttributes(figure, samples, large)}>
        {large && samples[0] !== undefined && <div class="chart-before" style={{ width: percent(xOf(samples[0].at, until)) }} />}
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
          {large && <path class="chart-grid" d={gridOf(ticks, times, top, until)} />}
          <path class="chart-floor" d="M0,100H100" />
          {runsOf(samples, figure.key, until).map((run, i) => (
            <path key={i} class="chart-line" d={pathOf(run, top)} />
          ))}
        </svg>
        {figure.alert !== undefined && (
          <div class="chart-limit" style={{ bottom: heightOf(figure.alert.above) }} aria-hidden="true" data-testid="ops-limit" data-limit={figure.alert.above}>
            {large && <span>alert above {measured(figure.alert.above, figure.unit)}</span>}
          </div>
        )}
        {samples.length > 0 && peak === undefined && <p class="chart-empty">No readings</p>}
        <Reading figure={figure} samples={samples} heightOf={heightOf} />
      </div>
      {large && (
        <div class="chart-times" aria-hidden="true">
          {times.map((at) => (
            <span key={at} style={{ left: percent(xOf(at, until)) }}>
              {minuteClock(at)}
            </span>
          ))}
        </div>
      )}
    </div>
  );
}

function gridOf(ticks: readonly number[], times: readonly number[], top: number, until: number): string {
  const rows = ticks.map((value) => `M0,${(100 * (1 - value / top)).toFixed(2)}H100`);
  const columns = times.map((at) => `M${(100 * xOf(at, until)).toFixed(2)},0V100`);
  return [...rows, ...columns].join("");
}

interface ReadingProps extends ChartProps {
  readonly heightOf: (value: number) => string;
}

/** Reading draws the chart cursor and shows the value at the cursor's time. */
function Reading({ figure, samples, heightOf }: ReadingProps): JSX.Element | null {
  const sample = reading.value === undefined ? undefined : samples[nearest(samples, reading.value)];
  if (sample === undefined) {
    return null;
  }
  const value = sample.values[figure.key];
  const x = xOf(sample.at, samples.at(-1)?.at ?? 0);
  return (
    <>
      <div class="chart-cursor" style={{ left: percent(x) }} />
      {value !== undefined && <div class="chart-dot" style={{ left: percent(x), bottom: heightOf(value) }} />}
      {/* Shifted by the same share of its own width, the label never leaves the chart. */}
      <div class="chart-reading" style={{ left: percent(x), transform: `translateX(${percent(-x)})` }} data-testid="ops-reading">
        <strong>{measured(value, figure.unit)}</strong> {clock(sample.at)}
      </div>
    </>
  );
}

/**
 * plotAttributes returns the chart's ARIA attributes, and the handlers that move the chart cursor.
 */
function plotAttributes(figure: Figure, samples: readonly Sample[], large: boolean): HTMLAttributes<HTMLDivElement> {
  const newest = samples.at(-1);
  const point = (event: TargetedPointerEvent<HTMLDivElement>): void => {
    const box = event.currentTarget.getBoundingClientRect();
    reading.value = newest === undefined ? undefined : newest.at - SPAN_MS * (1 - (event.clientX - box.left) / box.width);
  };
  const handlers: HTMLAttributes<HTMLDivElement> = { onPointerMove: point, onPointerDown: point, onPointerLeave: clear };
  const highest = shown(peakOf(samples, figure.key));
  if (!large || newest === undefined) {
    const label = `${figure.title} over the last ten minutes: now ${shown(newest?.values[figure.key])}, highest ${highest} ${figure.unit}`;
    return { ...handlers, role: "img", "aria-label": label.trim() };
  }
  const current = samples[nearest(samples, reading.value ?? newest.at)] ?? newest;
  const value = current.values[figure.key];
  return {
    ...handlers,
    role: "slider",
    tabIndex: 0,
    "aria-label": `${figure.title} over the last ten minutes, highest ${highest}`,
    "aria-orientation": "horizontal",
    "aria-readonly": true,
    "aria-valuemin": samples[0]?.at ?? newest.at,
    "aria-valuemax": newest.at,
    "aria-valuenow": current.at,
    "aria-valuetext": `${value === undefined ? "no reading" : measured(value, figure.unit)} at ${clock(current.at)}`,
    // Keep the chart cursor at a fixed time. Otherwise, a screen reader would speak every new
    // sample.
    onFocus: () => {
      reading.value ??= newest.at;
    },
    onBlur: clear,
    onKeyDown: (event) => {
      if (event.key === "Escape") {
        reading.value = undefined;
        return;
      }
      const at = event.ctrlKey || event.altKey || event.metaKey ? undefined : moved(event.key, samples, reading.peek() ?? newest.at);
      if (at !== undefined) {
        event.preventDefault();
        reading.value = at;
      }
    },
  };
}

function clear(): void {
  reading.value = undefined;
}
