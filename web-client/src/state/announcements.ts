/**
 * Announcements for screen readers: new messages in the open channel, and the results of actions.
 */

import type { PostedEvent } from "@parley/client";
import { signal } from "@preact/signals";

import { plainText } from "./bodies";
import { nameOf, person } from "./people";

export interface Announcement {
  readonly id: number;
  readonly text: string;
}

export const announcements = signal<readonly Announcement[]>([]);
let lastID = 0;

/**
 * KEPT is the number of announcements that stay in the document, so that a slow screen reader does
 * not miss any.
 */
const KEPT = 5;

export function addAnnouncement(text: string): void {
  announcements.value = [...announcements.value, { id: ++lastID, text }].slice(-KEPT);
}

export function announce(event: PostedEvent): void {
  addAnnouncement(`${nameOf(person(event.sender_id).peek(), event.sender_name)}: ${plainText(event.body, 300)}`);
}
