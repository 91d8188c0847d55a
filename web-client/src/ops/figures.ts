/**
 * The metrics on the page: what each one measures, the alert that watches it, and the commands to
 * run when the alert fires. The limits of the alerts come from deploy/prometheus/parley.rules.yml.
 */

import limits from "virtual:alert-limits";

import type { Key } from "./samples";

export interface Alert {
  /** The name of the alert rule. */
  readonly name: string;
  /**
   * The alert fires when the value has exceeded `above` for `period`, or immediately if `period` is
   * empty.
   */
  readonly above: number;
  readonly period: string;
}

export interface Figure {
  readonly key: Key;
  readonly title: string;
  /** The unit, shown after the number. */
  readonly unit: string;
  readonly about: string;
  /** Whether the metric is a count. The axis of a count is labeled only with whole numbers. */
  readonly whole?: boolean;
  readonly alert?: Alert;
  /** Commands with which an operator can investigate or fix the problem. */
  readonly commands: readonly string[];
}

/**
 * alertAt returns the alert with the given name. `factor` converts the rule's unit to the metric's
 * unit.
 */
function alertAt(name: string, factor = 1): Alert {
  const limit = limits[name];
  if (limit === undefined) {
    throw new Error(`the alert rules contain no limit of ${name}`);
  }
  return { name, above: limit.above * factor, period: limit.period };
}

/** The metrics that an operator needs first. They are shown large, in this order. */
export const mainFigures: readonly Figure[] = [
  {
    key: "lagSeconds",
    title: "Lag",
    unit: "s",
    about: "Age of the oldest event that is acknowledged but not yet stored.",
    alert: alertAt("ParleyStoringLags"),
    commands: ["sync-service status", "sync-service backlog"],
  },
  {
    key: "waiting",
    title: "Backlog",
    unit: "entries",
    whole: true,
    about: "Acknowledged but not yet stored. At BACKLOG_BUDGET, sends are refused.",
    alert: alertAt("ParleyBacklogGrows"),
    commands: ["sync-service backlog", "sync-service status"],
  },
  {
    key: "dead",
    title: "Dead letters",
    unit: "entries",
    whole: true,
    about: "Acknowledged messages that could not be stored.",
    alert: alertAt("ParleyDeadLetters"),
    commands: ["sync-service dead list", "sync-service dead retry"],
  },
  {
    key: "memory",
    title: "Redis memory",
    unit: "%",
    about: "Share of maxmemory that the fullest Redis server uses. At REDIS_TRIM_AT, stored entries are trimmed early. At REDIS_REFUSE_AT, sends are refused.",
    alert: alertAt("ParleyRedisFills", 100),
    commands: ["sync-service status", "sync-service trim"],
  },
];

/** The other metrics, which are shown small. */
export const otherFigures: readonly Figure[] = [
  { key: "connections", title: "Connections", unit: "open", about: "Open WebSocket connections on all gateways.", commands: [] },
  { key: "sends", title: "Sends", unit: "/s", about: "Events acknowledged to their senders.", commands: ["sync-service tail"] },
  { key: "deliveries", title: "Deliveries", unit: "/s", about: "Events written to connections.", commands: [] },
  { key: "inserted", title: "Inserts", unit: "rows/s", about: "Rows stored in PostgreSQL.", commands: ["sync-service verify"] },
  { key: "pending", title: "Pending", unit: "entries", about: "Read by a sync-service but not yet stored.", commands: ["sync-service status"] },
  {
    key: "entries",
    title: "Stream length",
    unit: "entries",
    about: "Entries in the streams, including stored ones, which are kept for STREAM_RETENTION so that they can be replayed.",
    commands: ["sync-service trim --dry-run", "sync-service replay --all --dry-run"],
  },
  {
    key: "vanished",
    title: "Vanished",
    unit: "entries",
    about: "Entries that were removed from Redis before they were stored. They are lost.",
    alert: alertAt("ParleyEntriesVanished"),
    commands: ["sync-service verify"],
  },
  {
    key: "retries",
    title: "Retries",
    unit: "/s",
    about: "Failed attempts to store events, which are repeated.",
    alert: alertAt("ParleyStoresInTrouble"),
    commands: ["sync-service status"],
  },
  {
    key: "receiptsSeconds",
    title: "Receipt lag",
    unit: "s",
    about: "Age of the oldest read or delivered position that is not yet stored.",
    alert: alertAt("ParleyReceiptsLag"),
    commands: ["sync-service status"],
  },
  {
    key: "overBudget",
    title: "Memory over budget",
    unit: "",
    about: "1 while Redis uses more than REDIS_TRIM_AT although all stored entries are trimmed. At REDIS_REFUSE_AT, sends are refused.",
    alert: alertAt("ParleyMemoryOverBudget"),
    commands: ["sync-service status", "sync-service trim"],
  },
  {
    key: "unsafeSettings",
    title: "Unsafe settings",
    unit: "",
    about: "Redis settings that can lose acknowledged messages: an eviction policy, no append-only file, no maxmemory.",
    alert: alertAt("ParleyRedisUnsafe"),
    commands: [],
  },
  { key: "errors", title: "Errors", unit: "/s", about: "Error frames sent by gateways to clients.", commands: [] },
  { key: "requests", title: "Requests", unit: "/s", about: "Answered REST requests, including this page's own.", commands: [] },
];

export const figures: readonly Figure[] = [...mainFigures, ...otherFigures];

/** alarming reports whether a value exceeds the metric's limit. */
export function alarming(figure: Figure, value: number | undefined): boolean {
  return figure.alert !== undefined && value !== undefined && value > figure.alert.above;
}

/**
 * anchorOf returns the anchor of the manual entry for a command: "sync-service dead list" is at
 * #tool-dead.
 */
export const anchorOf = (command: string): string => `#tool-${command.split(" ")[1] ?? ""}`;
