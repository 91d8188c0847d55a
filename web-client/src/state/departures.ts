/** The channels that this user is no longer a member of, as far as this page knows. */

import { signal } from "@preact/signals";

import type { ChannelState } from "./channel-state";

export interface Departure {
  /** The channel's name at that time. */
  readonly name: string;
  /** Whether the user left, or another user removed them or deleted the channel. */
  readonly how: "left" | "removed";
}

export const departures = signal<ReadonlyMap<string, Departure>>(new Map());

export function recordDeparture(state: ChannelState, how: Departure["how"]): void {
  departures.value = new Map(departures.peek()).set(state.id, { name: state.title.peek(), how });
}

export function forgetDepartures(): void {
  departures.value = new Map();
}
