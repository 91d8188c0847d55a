/**
 * The users whom this user has blocked.
 *
 * The gateway does not notify a user's connections when the user blocks someone. To find blocks
 * made on another device, the page reads the list of blocked users again after each reconnection,
 * and when the page receives the focus some minutes after the last read.
 */

import { allPages } from "@parley/client";
import { signal } from "@preact/signals";

import { sdk } from "./client";

export const blocked = signal<ReadonlySet<string>>(new Set());

/**
 * The minimum time, in milliseconds, between a read of the list of blocked users and another read
 * that is triggered by a focus event.
 */
export const FRESH_MS = 2 * 60_000;
let readAt = 0;
/**
 * Incremented whenever this page changes the list of blocked users. A list that was requested
 * before the change is discarded.
 */
let changes = 0;

function set(users: ReadonlySet<string>): void {
  changes++;
  blocked.value = users;
}

export async function loadBlocks(): Promise<void> {
  const before = changes;
  readAt = Date.now();
  const found = await allPages((at) => sdk().rest.listContacts({ state: "blocked", limit: 200, ...at })).catch((error: unknown) => {
    readAt = 0; // so the next focus tries again
    throw error;
  });
  if (changes === before) {
    blocked.value = new Set(found.map((c) => c.user_id));
  }
}

/**
 * watchBlocks reads the list of blocked users again when the page gets the focus. It returns a
 * function that removes the listener.
 */
export function watchBlocks(): () => void {
  const read = (): void => {
    if (Date.now() - readAt >= FRESH_MS) {
      loadBlocks().catch(() => undefined); // the next focus or reconnection tries again
    }
  };
  addEventListener("focus", read);
  return () => removeEventListener("focus", read);
}

export async function block(userID: string): Promise<void> {
  await sdk().rest.blockUser(userID);
  set(new Set(blocked.peek()).add(userID));
}

export async function unblock(userID: string): Promise<void> {
  await sdk().rest.unblockUser(userID);
  set(new Set([...blocked.peek()].filter((id) => id !== userID)));
}

export const forgetBlocks = (): void => set(new Set());
