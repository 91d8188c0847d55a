/** Dates and times for display, in the page's language and the browser's time zone. */

import { locale, t } from "../i18n";

const formats = {
  clock: { hour: "2-digit", minute: "2-digit" },
  weekday: { weekday: "long", day: "numeric", month: "long" },
  weekdayClock: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  withYear: { day: "numeric", month: "long", year: "numeric" },
  full: { dateStyle: "full", timeStyle: "medium" },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;

/**
 * Caches the formatters by locale and format, because creating a formatter takes much longer than
 * using it.
 */
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(name: keyof typeof formats): Intl.DateTimeFormat {
  const key = `${locale()} ${name}`;
  let known = formatters.get(key);
  if (known === undefined) {
    known = new Intl.DateTimeFormat(locale(), formats[name]);
    formatters.set(key, known);
  }
  return known;
}

const format = (name: keyof typeof formats, ms: number): string => formatter(name).format(ms);

/** dayOf returns a number that identifies the local calendar day of a time. */
export function dayOf(ms: number): number {
  const d = new Date(ms);
  return d.getFullYear() * 10000 + (d.getMonth() + 1) * 100 + d.getDate();
}

/** dayLabel returns the text of a day separator: Today, Yesterday, a weekday, or the date. */
export function dayLabel(ms: number, now: number): string {
  if (dayOf(ms) === dayOf(now)) {
    return t().dates.today;
  }
  const yesterday = new Date(now);
  yesterday.setDate(yesterday.getDate() - 1);
  if (dayOf(ms) === dayOf(yesterday.getTime())) {
    return t().dates.yesterday;
  }
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? format("weekday", ms) : format("withYear", ms);
}

/** sinceLabel returns the text for a point in time. It omits today's date. */
export const sinceLabel = (ms: number, now: number): string => format(dayOf(ms) === dayOf(now) ? "clock" : "weekdayClock", ms);

/**
 * shortTimeLabel returns a time for a narrow column. It omits the "AM" or "PM" of 12-hour locales,
 * because the first message of the group shows it.
 */
export const shortTimeLabel = (ms: number): string =>
  formatter("clock")
    .formatToParts(ms)
    .filter(({ type }) => type !== "dayPeriod")
    .map(({ value }) => value)
    .join("")
    .trim();

export const timeLabel = (ms: number): string => format("clock", ms);
export const fullLabel = (ms: number): string => format("full", ms);
export const dateLabel = (ms: number): string => format("withYear", ms);

const steps: readonly [number, Intl.RelativeTimeFormatUnit][] = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
];

/** agoLabel says how long ago a time was ("5 minutes ago"), for the list of sessions. */
export function agoLabel(ms: number, now: number): string {
  for (const [length, unit] of steps) {
    if (now - ms >= length) {
      return new Intl.RelativeTimeFormat(locale(), { numeric: "auto" }).format(-Math.floor((now - ms) / length), unit);
    }
  }
  return t().dates.justNow;
}
