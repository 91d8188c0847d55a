/**
 * The figures of the page: what they are, from where on they are an alarm, and what one does then. The limits are
 * those of the alerts in deploy/prometheus/parley.rules.yml, which a test compares.
 */

import type { Key } from "./samples";

export interface Figure {
  readonly key: Key;
  readonly title: string;
  /** What is counted, behind the number. */
  readonly unit: string;
  readonly about: string;
  /** Above `above` the alert of this name would fire, there after some minutes. */
  readonly alert?: { readonly name: string; readonly above: number };
  /** What an operator runs to look closer or to mend it. */
  readonly commands: readonly string[];
}

export const figures: readonly Figure[] = [
  { key: "connections", title: "Sockets", unit: "open", about: "Open WebSockets on all gateways.", commands: [] },
  { key: "sends", title: "Sends", unit: "/s", about: "Events acknowledged to their senders.", commands: ["sync-service tail"] },
  { key: "deliveries", title: "Deliveries", unit: "/s", about: "Events handed to sockets.", commands: [] },
  { key: "inserted", title: "Inserts", unit: "rows/s", about: "Rows stored in PostgreSQL.", commands: ["sync-service verify"] },
  {
    key: "lagSeconds",
    title: "Lag",
    unit: "s",
    about: "Age of the oldest event that is acknowledged and not stored yet.",
    alert: { name: "ParleyStoringLags", above: 60 },
    commands: ["sync-service status", "sync-service backlog"],
  },
  {
    key: "waiting",
    title: "Backlog",
    unit: "entries",
    about: "Acknowledged and not stored yet. At BACKLOG_BUDGET sends are refused.",
    alert: { name: "ParleyBacklogGrows", above: 500_000 },
    commands: ["sync-service backlog", "sync-service status"],
  },
  { key: "pending", title: "Pending", unit: "entries", about: "Read by a sync-service and not stored yet.", commands: ["sync-service status"] },
  {
    key: "entries",
    title: "Stream length",
    unit: "entries",
    about: "Entries in the streams, stored ones included. They stay for STREAM_RETENTION, so that they can be stored again.",
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
    about: "Entries that somebody removed from Redis before they were stored. They are lost.",
    alert: { name: "ParleyEntriesVanished", above: 0 },
    commands: ["sync-service verify"],
  },
  {
    key: "retries",
    title: "Retries",
    unit: "/s",
    about: "Steps of storing that failed and are done again.",
    alert: { name: "ParleyStoresInTrouble", above: 0.2 },
    commands: ["sync-service status"],
  },
  {
    key: "receiptsSeconds",
    title: "Receipts' lag",
    unit: "s",
    about: "Age of the oldest read or delivered position that is not stored yet.",
    alert: { name: "ParleyReceiptsLag", above: 300 },
    commands: ["sync-service status"],
  },
  {
    key: "overBudget",
    title: "Memory over budget",
    unit: "",
    about: "1 while Redis uses more than REDIS_TRIM_AT though nothing stored is left to trim. At REDIS_REFUSE_AT sends are refused.",
    alert: { name: "ParleyMemoryOverBudget", above: 0 },
    commands: ["sync-service status", "sync-service trim"],
  },
  {
    key: "unsafeSettings",
    title: "Unsafe settings",
    unit: "",
    about: "Settings of Redis with which it can lose acknowledged messages: an eviction policy, no append-only file, no maxmemory.",
    alert: { name: "ParleyRedisUnsafe", above: 0 },
    commands: [],
  },
  { key: "errors", title: "Errors", unit: "/s", about: "Error frames that gateways send to clients.", commands: [] },
  { key: "requests", title: "Requests", unit: "/s", about: "REST requests answered, this page's own included.", commands: [] },
];

/** Whether a value is an alarm. */
export function alarming(figure: Figure, value: number | undefined): boolean {
  return figure.alert !== undefined && value !== undefined && value > figure.alert.above;
}

/** A number to be read at a glance: 1,234 or 12.3 or 1.2M. */
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
