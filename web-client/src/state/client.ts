/** The one SDK client of the page. It is one user's: whoever logs out and in gets another. */

import { Client, LocalStoragePendingStore } from "@parley/client";

let current: Client | undefined;

/** The client of this session, made when it is first asked for. It does not connect by itself. */
export function sdk(): Client {
  current ??= new Client({ pendingStore: new LocalStoragePendingStore() });
  return current;
}

/** Ends the session's client; the next sdk() is a new one. */
export function dropClient(): void {
  current?.close();
  current = undefined;
}
