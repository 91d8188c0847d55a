/** The page's SDK client. It belongs to one user: signing in again creates a new client. */

import { Client, LocalStoragePendingStore } from "@parley/client";

let current: Client | undefined;

/** sdk returns the session's client and creates it on first use. It does not connect by itself. */
export function sdk(): Client {
  current ??= new Client({ pendingStore: new LocalStoragePendingStore() });
  return current;
}

/**
 * identify assigns the session's client to the given user. The client then restores and stores the
 * user's unsent messages even before it has reached the server, and rejects every other user's
 * session.
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
