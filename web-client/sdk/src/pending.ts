/** Sends that the server has not acknowledged or refused yet, and the store for them. */

import type { ClientError } from "./errors.js";
import type { SendStatus } from "./events.js";

/** Confirms that an event is durable, and reports its id and seq. */
export interface Ack {
  readonly channelID: string;
  readonly clientID: string;
  readonly id: string;
  readonly seq: number;
  readonly sentAt: string;
}

export type SendKind = "send" | "edit" | "delete" | "react";

/** The current state of a send. */
export interface Pending {
  readonly kind: SendKind;
  readonly clientID: string;
  readonly channelID: string;
  /** The body of a message or an edit; empty otherwise. */
  readonly body: string;
  /** The message that this one replies to. */
  readonly replyTo: string | undefined;
  readonly messageID: string | undefined;
  /** When the program called send(), edit(), delete() or react(), in milliseconds since 1970. */
  readonly createdAt: number;
  readonly status: SendStatus;
  /** The event's id. This field, `seq` and `sentAt` are set once the status is `sent` or later. */
  readonly id: string | undefined;
  readonly seq: number | undefined;
  readonly sentAt: string | undefined;
  /** Set if the status is `failed`. */
  readonly error: ClientError | undefined;
  /**
   * Resolves when the send is acknowledged; rejects with `error` if it fails. Callers may ignore
   * it.
   */
  readonly settled: Promise<Ack>;
  /** Sends a failed message again, as a new message that replaces it. */
  retry(): Pending;
  /**
   * Whether the send may have reached the server. A pending send that has not been transmitted
   * waits for a connection, for earlier sends or for the rate limit.
   */
  readonly transmitted: boolean;
  /**
   * Discards a send that failed or has not been transmitted; otherwise it does nothing. The status
   * of a discarded send is `failed`.
   */
  discard(): void;
}

/** A message as a PendingStore stores it. */
export interface StoredSend {
  readonly client_id: string;
  readonly channel_id: string;
  readonly body: string;
  readonly reply_to?: string;
  /** When the user sent the message, in milliseconds since 1970. */
  readonly created_at: number;
  /**
   * When the message was first sent to the server, in milliseconds since 1970; 0 if it has not been
   * sent yet.
   */
  readonly first: number;
  /** Set if the message has failed; the user may retry it. */
  readonly failed?: Pick<ClientError, "code" | "message"> & Partial<Pick<ClientError, "errors">>;
}

/**
 * Stores the messages that the server has not acknowledged or refused yet, so that they are sent
 * even after the program restarts. They are stored per user, so that one user's messages are never
 * sent as another's.
 */
export interface PendingStore {
  /** Returns the user's sends in the order in which they were added. */
  load(userID: string): readonly StoredSend[] | Promise<readonly StoredSend[]>;
  /**
   * Adds a send, or replaces the one with the same client_id. The client calls it before it sends
   * the message.
   */
  put(userID: string, send: StoredSend): void;
  remove(userID: string, clientID: string): void;
}

/** Stores sends in memory. This is the default. */
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
 * Stores sends in localStorage, each under its own key, so that tabs do not overwrite each other's
 * sends. Two tabs may both send the same message; because it has the same client_id, the server
 * posts it only once.
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
        // The entry was not written by this class or is corrupt, so it cannot be sent.
      }
    }
    return sends.sort((a, b) => a.created_at - b.created_at);
  }

  put(userID: string, send: StoredSend): void {
    try {
      this.storage.setItem(this.key(userID, send.client_id), JSON.stringify(send));
    } catch {
      // The storage is full. The message is still sent, but it may be lost if the page closes
      // before the server has acknowledged it.
    }
  }

  remove(userID: string, clientID: string): void {
    this.storage.removeItem(this.key(userID, clientID));
  }
}
