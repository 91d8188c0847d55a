/** What a screen reader is told: new messages of the open channel, and what was done. */

import type { PostedEvent } from "@parley/client";
import { signal } from "@preact/signals";

import { plainText } from "../lib/markup";
import { nameOf, person } from "./people";

export interface Announcement {
  readonly id: number;
  readonly text: string;
}

export const announcements = signal<readonly Announcement[]>([]);
let lastID = 0;

/** The log keeps the last few: a reader that is slow does not lose what came between. */
const KEPT = 5;

export function say(text: string): void {
  announcements.value = [...announcements.value, { id: ++lastID, text }].slice(-KEPT);
}

export function announce(event: PostedEvent): void {
  say(`${nameOf(person(event.sender_id).peek(), event.sender_name)}: ${plainText(event.body, 300)}`);
}
