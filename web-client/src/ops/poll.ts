/** Requests the pipeline's figures every two seconds while the page is open. */

import { ApiError, Client, type OpsMetrics } from "@parley/client";
import { signal } from "@preact/signals";

import { extended, type Sample, sampleOf } from "./samples";

export const INTERVAL_MS = 2_000;

export type View =
  | { readonly name: "loading" }
  | { readonly name: "signed-out" }
  | { readonly name: "forbidden"; readonly detail: string }
  /** `trouble` is the reason the last request failed. */
  | { readonly name: "live"; readonly metrics: OpsMetrics; readonly samples: readonly Sample[]; readonly trouble?: string }
  | { readonly name: "unreachable"; readonly trouble: string };

export const view = signal<View>({ name: "loading" });

export function start(): void {
  const client = new Client();
  if (!client.hasSession) {
    view.value = { name: "signed-out" };
    return;
  }
  void poll(client);
}

async function poll(client: Client): Promise<void> {
  const began = performance.now();
  try {
    show(await client.rest.getOpsMetrics());
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      view.value = { name: "signed-out" };
      return;
    }
    if (error instanceof ApiError && error.status === 403) {
      view.value = { name: "forbidden", detail: error.detail };
      return;
    }
    trouble(error instanceof ApiError ? error.detail : "Can't reach chat-service");
  }
  window.setTimeout(() => void poll(client), Math.max(0, INTERVAL_MS - (performance.now() - began)));
}

function show(metrics: OpsMetrics): void {
  const last = view.value;
  const before = last.name === "live" ? last : undefined;
  view.value = { name: "live", metrics, samples: extended(before?.samples ?? [], sampleOf(metrics, before?.metrics)) };
}

/** trouble records why the last request failed. Figures that are already shown stay on the page. */
function trouble(why: string): void {
  const last = view.value;
  if (last.name === "live") {
    view.value = { ...last, samples: [...last.samples, { at: Date.now(), values: {} }], trouble: why };
  } else {
    view.value = { name: "unreachable", trouble: why };
  }
}
