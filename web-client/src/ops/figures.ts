/**
 * The figures on the page: what each figure measures, the limit above which it raises an alarm, and
 * the commands to run in that case. The limits are the same as in the alerts in
 * deploy/prometheus/parley.rules.yml; a test compares them.
 */

import type { Key } from "./samples";

export interface Figure {
  readonly key: Key;
  readonly title: string;
  /** The unit, shown after the number. */
  readonly unit: string;
  readonly about: string;
  /** If the value exceeds `above` for several minutes, the alert with this name fires. */
  readonly alert?: { readonly name: string; readonly above: number };
  /** Commands with which an operator can investigate or fix the problem. */
  readonly commands: readonly string[];
}

export const figures: readonly Figure[] = [
  { key: "connections", title: "Connections", unit: "open", about: "Open WebSocket connections on all gateways.", commands: [] },
  { key: "sends", title: "Sends", unit: "/s", about: "Events acknowledged to their senders.", commands: ["sync-service tail"] },
  { key: "deliveries", title: "Deliveries", unit: "/s", about: "Events written to connections.", commands: [] },
  { key: "inserted", title: "Inserts", unit: "rows/s", about: "Rows stored in PostgreSQL.", commands: ["sync-service verify"] },
  {
    key: "lagSeconds",
    title: "Lag",
    unit: "s",
    about: "Age of the oldest event that is acknowledged but not yet stored.",
    alert: { name: "ParleyStoringLags", above: 60 },
    commands: ["sync-service status", "sync-service backlog"],
  },
  {
    key: "waiting",
    title: "Backlog",
    unit: "entries",
    about: "Acknowledged but not yet stored. At BACKLOG_BUDGET, sends are refused.",
    alert: { name: "ParleyBacklogGrows", above: 500_000 },
    commands: ["sync-service backlog", "sync-service status"],
  },
  { key: "pending", title: "Pending", unit: "entries", about: "Read by a sync-service but not yet stored.", commands: ["sync-service status"] },
  {
    key: "entries",
    title: "Stream length",
    unit: "entries",
    about: "Entries in the streams, including stored ones, which are kept for STREAM_RETENTION so that they can be replayed.",
    commands: ["sync-service trim --dry-run", "sync-service replay --all --dry-run"],
  },
  {
    key: "dead",
    title: "Dead letters",
    unit: "entries",
    about: "Acknowledged messages that could not be stored.",
    alert: { name: "ParleyDeadLetters", above: 0 },
    commands: ["sync-service dead list", "sync-service dead retry"],
  },
  {
    key: "vanished",
    title: "Vanished",
    unit: "entries",
    about: "Entries that were removed from Redis before they were stored. They are lost.",
    alert: { name: "ParleyEntriesVanished", above: 0 },
    commands: ["sync-service verify"],
  },
  {
    key: "retries",
    title: "Retries",
    unit: "/s",
    about: "Failed attempts to store events, which are repeated.",
    alert: { name: "ParleyStoresInTrouble", above: 0.2 },
    commands: ["sync-service status"],
  },
  {
    key: "receiptsSeconds",
    title: "Receipt lag",
    unit: "s",
    about: "Age of the oldest read or delivered position that is not yet stored.",
    alert: { name: "ParleyReceiptsLag", above: 300 },
    commands: ["sync-service status"],
  },
  {
    key: "overBudget",
    title: "Memory over budget",
    unit: "",
    about: "1 while Redis uses more than REDIS_TRIM_AT although all stored entries are trimmed. At REDIS_REFUSE_AT, sends are refused.",
    alert: { name: "ParleyMemoryOverBudget", above: 0 },
    commands: ["sync-service status", "sync-service trim"],
  },
  {
    key: "unsafeSettings",
    title: "Unsafe settings",
    unit: "",
    about: "Redis settings that can lose acknowledged messages: an eviction policy, no append-only file, no maxmemory.",
    alert: { name: "ParleyRedisUnsafe", above: 0 },
    commands: [],
  },
  { key: "errors", title: "Errors", unit: "/s", about: "Error frames sent by gateways to clients.", commands: [] },
  { key: "requests", title: "Requests", unit: "/s", about: "Answered REST requests, including this page's own.", commands: [] },
];

/** alarming reports whether a value exceeds the figure's limit. */
export function alarming(figure: Figure, value: number | undefined): boolean {
  return figure.alert !== undefined && value !== undefined && value > figure.alert.above;
}

/** shown formats a number for reading at a glance: 1,234 or 12.3 or 1.2M. */
export function shown(value: number | undefined): string {
  if (value === undefined) {
    return "–";
  }
  const size = Math.abs(value);
  const large = size >= 1e6;
  return new Intl.NumberFormat("en", {
    maximumFractionDigits: large || (size >= 10 && size < 100) ? 1 : size < 10 ? 2 : 0,
    notation: large ? "compact" : "standard",
  }).format(value);
}
