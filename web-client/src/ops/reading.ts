/**
 * The time of the chart cursor, in milliseconds since 1970; undefined if the user is not pointing
 * at a chart. All charts share it, so that users can compare the metrics at one point in time.
 */

import { signal } from "@preact/signals";

import type { Sample } from "./samples";
import { nearest } from "./scale";

export const reading = signal<number | undefined>(undefined);

const PAGE_MS = 60_000;

/**
 * moved returns the time to which a key moves the chart cursor. Arrow keys move it by one sample,
 * Page keys by a minute, and Home and End to the oldest and the newest sample. It returns undefined
 * for other keys.
 */
export function moved(key: string, samples: readonly Sample[], at: number): number | undefined {
  const index = nearest(samples, at);
  const current = samples[index]?.at;
  if (current === undefined) {
    return undefined;
  }
  const step = (by: number): number => samples[Math.min(Math.max(index + by, 0), samples.length - 1)]?.at ?? current;
  const jump = (ms: number): number => samples[nearest(samples, current + ms)]?.at ?? current;
  switch (key) {
    case "ArrowLeft":
    case "ArrowDown":
      return step(-1);
    case "ArrowRight":
    case "ArrowUp":
      return step(1);
    case "PageDown":
      return jump(-PAGE_MS);
    case "PageUp":
      return jump(PAGE_MS);
    case "Home":
      return samples[0]?.at;
    case "End":
      return samples.at(-1)?.at;
    default:
      return undefined;
  }
}
