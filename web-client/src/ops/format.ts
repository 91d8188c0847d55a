/**
 * Formats numbers and times for display. The page is in English, so it formats numbers for the
 * user's variant of English. Times use the 24-hour clock, as in the services' logs.
 */

import { localeFor, preferred } from "../i18n/locale";

const locale = localeFor("en", preferred());
const number = (options: Intl.NumberFormatOptions): Intl.NumberFormat => new Intl.NumberFormat(locale, options);
const compact = number({ notation: "compact", maximumFractionDigits: 1 });
const plain = [number({ maximumFractionDigits: 2 }), number({ maximumFractionDigits: 1 }), number({ maximumFractionDigits: 0 })] as const;
const minutes = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** shown formats a number compactly: 1,234 or 12.3 or 1.2M. */
export function shown(value: number | undefined): string {
  if (value === undefined) {
    return "–";
  }
  const size = Math.abs(value);
  return (size >= 1e6 ? compact : size >= 100 ? plain[2] : size >= 10 ? plain[1] : plain[0]).format(value);
}

/** brief formats a number for an axis: 500K. */
export const brief = (value: number): string => compact.format(value);

/** measured formats a number with its unit: 12.3 s, 70%. */
export const measured = (value: number | undefined, unit: string): string =>
  unit === "" || value === undefined ? shown(value) : `${shown(value)}${unit === "%" ? "" : " "}${unit}`;

/** clock returns a time of day in the browser's time zone, with seconds: 14:05:10. */
export const clock = (ms: number): string => seconds.format(ms);

/** minuteClock returns a time of day without seconds: 14:05. */
export const minuteClock = (ms: number): string => minutes.format(ms);
