/** Dates and times for display, in the browser's language and time zone. */

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const withYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** dayOf returns a number that identifies the local calendar day of a time. */
export function dayOf(ms: number): number {
  const d = new Date(ms);
  return d.getFullYear() * 10000 + (d.getMonth() + 1) * 100 + d.getDate();
}

/** dayLabel returns the text of a day separator: Today, Yesterday, a weekday, or the date. */
export function dayLabel(ms: number, now: number): string {
  if (dayOf(ms) === dayOf(now)) {
    return "Today";
  }
  const yesterday = new Date(now);
  yesterday.setDate(yesterday.getDate() - 1);
  if (dayOf(ms) === dayOf(yesterday.getTime())) {
    return "Yesterday";
  }
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? weekday.format(ms) : withYear.format(ms);
}

export const timeLabel = (ms: number): string => clock.format(ms);
export const fullLabel = (ms: number): string => full.format(ms);
export const dateLabel = (ms: number): string => withYear.format(ms);

const steps: readonly [number, Intl.RelativeTimeFormatUnit][] = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** agoLabel returns how long ago a time was, for the list of sessions. */
export function agoLabel(ms: number, now: number): string {
  for (const [length, unit] of steps) {
    if (now - ms >= length) {
      return relative.format(-Math.floor((now - ms) / length), unit);
    }
  }
  return "just now";
}
