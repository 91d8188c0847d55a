/** Requests the pipeline's metrics every two seconds while the page is open. */

import { ApiError, type OpsMetrics } from "@parley/client";
import { signal } from "@preact/signals";

import { openAccess } from "../../sdk/src/access";
import type { Rest } from "../../sdk/src/rest";
import { extended, type Sample, sampleOf } from "./samples";

export const INTERVAL_MS = 2_000;

/**
 * RESPONSE_TIMEOUT_MS is how long the page waits for a response. A response usually takes at most
 * two seconds.
 */
const RESPONSE_TIMEOUT_MS = 10_000;

export type View =
  | { readonly name: "loading" }
  | { readonly name: "signed-out" }
  | { readonly name: "forbidden" }
  /**
   * `trouble` is the reason why the last request failed. `metrics` and `last` are the last known
   * values.
   */
  | { readonly name: "live"; readonly metrics: OpsMetrics; readonly last: Sample; readonly samples: readonly Sample[]; readonly trouble?: string }
  | { readonly name: "unreachable"; readonly trouble: string };

export const view = signal<View>({ name: "loading" });

/** The number of milliseconds by which the browser's clock is ahead of the server's. */
let ahead = 0;

export function start(): void {
  // Do not create a Client: it would add the WebSocket code, which this page does not need.
  const { rest, tokens } = openAccess();
  if (tokens.present) {
    void poll(rest);
  } else {
    view.value = { name: "signed-out" };
  }
}

async function poll(rest: Rest): Promise<void> {
  const began = performance.now();
  try {
    show(await rest.request<OpsMetrics>("GET", "/v1/ops/metrics", undefined, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS) }));
  } catch (error) {
    const status = error instanceof ApiError ? error.status : 0;
    if (status === 401 || status === 403) {
      view.value = { name: status === 401 ? "signed-out" : "forbidden" };
      return;
    }
    trouble(troubleOf(error));
  }
  window.setTimeout(() => void poll(rest), Math.max(0, INTERVAL_MS - (performance.now() - began)));
}

function troubleOf(error: unknown): string {
  if (error instanceof ApiError) {
    return `chat-service answers with an error: ${error.detail.replace(/\.$/, "")}`;
  }
  return navigator.onLine ? "chat-service does not respond" : "This device is offline";
}

function show(metrics: OpsMetrics): void {
  const before = view.value.name === "live" ? view.value : undefined;
  const last = sampleOf(metrics, before?.metrics);
  ahead = Date.now() - last.at;
  view.value = { name: "live", metrics, last, samples: extended(before?.samples ?? [], last) };
}

/** trouble records why the last request failed. Values that are already shown stay on the page. */
function trouble(why: string): void {
  const now = view.value;
  if (now.name === "live") {
    view.value = { ...now, samples: extended(now.samples, { at: Date.now() - ahead, values: {} }), trouble: why };
  } else {
    view.value = { name: "unreachable", trouble: why };
  }
}
