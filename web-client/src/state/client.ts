/** The page's SDK client. It belongs to one user: signing in again creates a new one. */

import { Client, LocalStoragePendingStore } from "@parley/client";

let current: Client | undefined;

/** sdk returns the session's client and creates it on first use. It does not connect by itself. */
export function sdk(): Client {
  current ??= new Client({ pendingStore: new LocalStoragePendingStore() });
  return current;
}

/**
 * identify makes the session's client one of the given user. This client restores and stores the
 * user's unsent messages even before it has reached the server, and accepts no other user's session.
 */
export function identify(userID: string): void {
  if (current?.me !== userID) {
    current?.close();
    current = new Client({ pendingStore: new LocalStoragePendingStore(), userID });
  }
}

/** dropClient closes the session's client; the next call to sdk() creates a new one. */
export function dropClient(): void {
  current?.close();
  current = undefined;
}
