/**
 * Describes a user agent: the browser and the operating system, if they can be recognized.
 */

import { t } from "../i18n";
import { clip } from "./clusters";

const browsers: readonly [RegExp, string][] = [
  [/Edg\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\//, "Firefox"],
  [/Chrom(e|ium)\//, "Chrome"],
  [/Safari\//, "Safari"],
  [/^curl/, "curl"],
  [/^node|undici/i, "Node.js"],
  [/^Go-http/, "Go"],
];
const systems: readonly [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/CrOS/, "ChromeOS"],
  [/Linux/, "Linux"],
];

export function deviceOf(userAgent: string): string {
  const find = (list: readonly [RegExp, string][]): string | undefined => list.find(([pattern]) => pattern.test(userAgent))?.[1];
  const browser = find(browsers);
  const system = find(systems);
  if (browser === undefined) {
    return system ?? (userAgent === "" ? t().device.unknown : clip(userAgent, 40));
  }
  return system === undefined ? browser : t().device.browserOn(browser, system);
}
