/** Channel events and the connection state. */

import type { WireEvent } from "./frames.js";

/** A position in a channel: everything up to and including seq, within this epoch. */
export interface Position {
  readonly seq: number;
  readonly epoch: string;
}

/** The progress of a message. It moves through the statuses in this order but may skip some. */
export type SendStatus = "pending" | "sent" | "delivered" | "read" | "failed";

/**
 * An event in a channel's log, such as a message, an edit, a reaction or a membership change. Every
 * seq in a channel is delivered once, in order. `seq` and `epoch` form a Position to save.
 */
export type ChannelEvent = WireEvent & {
  readonly epoch: string;
  /** Whether this user caused the event, here or on another device. */
  readonly mine: boolean;
};

/** The state of the connection. */
export type ConnectionState =
  /**
   * Not connecting: connect() has not been called yet, or the browser reports that it is offline.
   * In the latter case, `retryAt` is the time of the next attempt.
   */
  | { readonly name: "offline"; readonly retryAt?: number }
  | { readonly name: "connecting"; readonly attempt: number }
  /**
   * The connection was lost or could not be established. `retryAt` is the time of the next attempt,
   * in milliseconds since 1970.
   */
  | { readonly name: "reconnecting"; readonly retryAt: number; readonly attempt: number; readonly error?: Error }
  /** The server has accepted the connection; missed events are being delivered. */
  | { readonly name: "catching-up" }
  /** Every event so far has been delivered. */
  | { readonly name: "up-to-date" }
  /** The client has ended; create a new one. */
  | { readonly name: "ended"; readonly reason: EndReason; readonly error?: Error };

export type EndReason =
  /** close() was called. */
  | "closed"
  /** There is no valid session: log in. */
  | "unauthenticated"
  /** The session was revoked, here or on another device. The user must log in again. */
  | "session-revoked"
  /** The browser's cookies now belong to another user. */
  | "other-user"
  /** The server refuses this client. */
  | "refused";
