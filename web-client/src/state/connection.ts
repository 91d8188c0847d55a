/** The connection state, as text. */

import type { ConnectionState } from "@parley/client";
import { computed, effect, signal } from "@preact/signals";

import { t } from "../i18n";

export const connection = signal<ConnectionState>({ name: "offline" });

/**
 * Whether the session was started from the offline copy, and the server has not accepted a
 * connection since.
 */
export const startedOffline = signal(false);

/** serverUnreachable reports whether the last attempt to reach the server failed. */
export function serverUnreachable(): boolean {
  const state = connection.peek();
  return startedOffline.peek() || retryAt(state) !== undefined || (state.name === "connecting" && state.attempt > 0);
}

/** The current time, updated while a countdown is shown. */
const now = signal(Date.now());
let ticking: ReturnType<typeof setInterval> | undefined;

effect(() => {
  const waits = retryAt(connection.value) !== undefined;
  if (waits && ticking === undefined) {
    now.value = Date.now();
    ticking = setInterval(() => {
      now.value = Date.now();
    }, 500);
  } else if (!waits && ticking !== undefined) {
    clearInterval(ticking);
    ticking = undefined;
  }
});

function retryAt(state: ConnectionState): number | undefined {
  return state.name === "reconnecting" || state.name === "offline" ? state.retryAt : undefined;
}

export interface ConnectionText {
  readonly tone: "good" | "busy" | "bad";
  readonly text: string;
  /** Whether the user can shorten the wait. */
  readonly waiting: boolean;
}

export const connectionText = computed<ConnectionText>(() => {
  const state = connection.value;
  const until = retryAt(state);
  const seconds = until === undefined ? 0 : Math.max(1, Math.ceil((until - now.value) / 1000));
  switch (state.name) {
    case "up-to-date":
      return { tone: "good", text: t().connection.upToDate, waiting: false };
    case "catching-up":
      return { tone: "busy", text: t().connection.catchingUp, waiting: false };
    case "connecting":
      return { tone: "busy", text: state.attempt > 1 ? t().connection.reconnecting : t().connection.connecting, waiting: false };
    case "reconnecting":
      return { tone: "bad", text: t().connection.reconnectingIn(seconds), waiting: true };
    case "offline":
      return { tone: "bad", text: t().connection.offline, waiting: until !== undefined };
    case "ended":
      return { tone: "bad", text: t().connection.disconnected, waiting: false };
  }
});
