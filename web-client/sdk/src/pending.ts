/** What was sent and has not settled, and where it is kept. */

import type { ClientError } from "./errors.js";
import type { SendStatus } from "./events.js";

/** Says that an event is durable, and where it is. */
export interface Ack {
  readonly channelID: string;
  readonly clientID: string;
  readonly id: string;
  readonly seq: number;
  readonly sentAt: string;
}

export type SendKind = "send" | "edit" | "delete" | "react";

/** Something that was sent, as it stands now. */
export interface Pending {
  readonly kind: SendKind;
  readonly clientID: string;
  readonly channelID: string;
  /** Of a message or an edit. */
  readonly body: string;
  /** The message that it answers, or that an edit, deletion or reaction is of. */
  readonly replyTo: string | undefined;
  readonly messageID: string | undefined;
  /** When the user has sent it, in milliseconds since 1970. */
  readonly createdAt: number;
  readonly status: SendStatus;
  /** From `sent` on. */
  readonly id: string | undefined;
  readonly seq: number | undefined;
  readonly sentAt: string | undefined;
  /** Of `failed`. */
  readonly error: ClientError | undefined;
  /** Resolves when it is acknowledged and rejects with `error`. It need not be waited for. */
  readonly settled: Promise<Ack>;
  /** Sends a failed one as a new one, in its place. */
  retry(): Pending;
  /** Forgets a failed one. */
  discard(): void;
}

/** A message as a PendingStore keeps it. */
export interface StoredSend {
  readonly client_id: string;
  readonly channel_id: string;
  readonly body: string;
  readonly reply_to?: string;
  /** When the user has sent it. */
  readonly created_at: number;
  /** When it was on its way first; 0: not yet. */
  readonly first: number;
  /** It has failed; the user may try it again. */
  readonly failed?: { readonly code: ClientError["code"]; readonly message: string };
}

/**
 * Keeps messages that were accepted from the user and have not settled, so that a program that begins anew
 * still sends them. Sends are kept by user: nobody sends what another has written.
 */
export interface PendingStore {
  /** In the order in which they were sent. */
  load(userID: string): readonly StoredSend[] | Promise<readonly StoredSend[]>;
  /** Adds a send, or replaces the one of the same client_id. It is called before the send is on its way. */
  put(userID: string, send: StoredSend): void;
  remove(userID: string, clientID: string): void;
}

/** Keeps nothing for longer than the program runs. The default. */
export class MemoryPendingStore implements PendingStore {
  private readonly sends = new Map<string, Map<string, StoredSend>>();

  load(userID: string): readonly StoredSend[] {
    return [...(this.sends.get(userID)?.values() ?? [])];
  }

  put(userID: string, send: StoredSend): void {
    let own = this.sends.get(userID);
    if (!own) this.sends.set(userID, (own = new Map()));
    own.set(send.client_id, send);
  }

  remove(userID: string, clientID: string): void {
    this.sends.get(userID)?.delete(clientID);
  }
}

/**
 * Keeps sends in localStorage, one entry each, so that tabs do not write over each other's. A send that
 * another tab has under way may be sent by both: it has one client_id and is said once.
 */
export class LocalStoragePendingStore implements PendingStore {
  constructor(
    private readonly prefix: string = "parley.pending",
    private readonly storage: Storage = localStorage,
  ) {}

  private key(userID: string, clientID: string): string {
    return `${this.prefix}:${userID}:${clientID}`;
  }

  load(userID: string): readonly StoredSend[] {
    const sends: StoredSend[] = [];
    for (let i = 0; i < this.storage.length; i++) {
      const key = this.storage.key(i);
      if (!key?.startsWith(this.key(userID, ""))) continue;
      try {
        sends.push(JSON.parse(this.storage.getItem(key) ?? "") as StoredSend);
      } catch {
        // Not ours, or half written: what cannot be read cannot be sent.
      }
    }
    return sends.sort((a, b) => a.created_at - b.created_at);
  }

  put(userID: string, send: StoredSend): void {
    try {
      this.storage.setItem(this.key(userID, send.client_id), JSON.stringify(send));
    } catch {
      // It is full: the send goes on, and is lost if the page is closed before it has settled.
    }
  }

  remove(userID: string, clientID: string): void {
    this.storage.removeItem(this.key(userID, clientID));
  }
}
