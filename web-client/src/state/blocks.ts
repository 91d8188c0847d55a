/** The users whom this user has blocked. */

import { allPages } from "@parley/client";
import { signal } from "@preact/signals";

import { sdk } from "./client";

export const blocked = signal<ReadonlySet<string>>(new Set());

/** loadBlocks reads the blocks. They may have been changed on another device. */
export async function loadBlocks(): Promise<void> {
  const found = await allPages((at) => sdk().rest.listContacts({ state: "blocked", limit: 200, ...at }));
  blocked.value = new Set(found.map((c) => c.user_id));
}

export async function block(userID: string): Promise<void> {
  await sdk().rest.blockUser(userID);
  blocked.value = new Set(blocked.peek()).add(userID);
}

export async function unblock(userID: string): Promise<void> {
  await sdk().rest.unblockUser(userID);
  const rest = new Set(blocked.peek());
  rest.delete(userID);
  blocked.value = rest;
}

export function forgetBlocks(): void {
  blocked.value = new Set();
}
