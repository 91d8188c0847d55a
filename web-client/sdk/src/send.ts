/** A send operation: its frame, its status, and the promise that its callers await. */

import type { ClientError } from "./errors.js";
import type { SendStatus } from "./events.js";
import type { Outbound } from "./frames.js";
import type { Ack, Pending, SendKind, StoredSend } from "./pending.js";

/**
 * IDEMPOTENT_MS is how long the server is guaranteed to recognize a repeated send as a duplicate:
 * ten minutes, minus a margin for clock differences and latency.
 */
const IDEMPOTENT_MS = 9 * 60_000;

/** The outbox methods that a send calls. */
export interface SendOwner {
  retry(send: Send): Pending;
  discard(send: Send): void;
}

/**
 * newClientID returns a random UUID. It does not use `crypto.randomUUID`, which is unavailable on
 * pages served over plain HTTP.
 */
export function newClientID(): string {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6]! & 0x0f) | 0x40;
  b[8] = (b[8]! & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** normalizeBody returns the body with all line endings as `\n`, as the server stores it. */
export const normalizeBody = (body: string): string => body.replace(/\r\n?/g, "\n");

let lastCreated = 0;

/**
 * creationTime returns the current time in milliseconds. Sends are ordered by creation time, so
 * each call returns a greater value than the previous one.
 */
function creationTime(): number {
  lastCreated = Math.max(Date.now(), lastCreated + 1);
  return lastCreated;
}

/** Send implements Pending. Only the outbox changes its fields. */
export class Send implements Pending {
  status: SendStatus = "pending";
  ack: Ack | undefined;
  error: ClientError | undefined;
  /**
   * When the send was first transmitted to the server, in milliseconds since 1970; 0 if it has not
   * been transmitted yet.
   */
  first = 0;
  /** Whether the send was transmitted on the current connection and awaits its acknowledgement. */
  inFlight = false;
  readonly createdAt: number;
  readonly settled: Promise<Ack>;
  private resolve: (ack: Ack) => void = () => {};
  private reject: (error: ClientError) => void = () => {};

  constructor(
    readonly frame: Outbound,
    private readonly owner: SendOwner,
    stored?: StoredSend,
  ) {
    this.createdAt = stored?.created_at ?? creationTime();
    this.first = stored?.first ?? 0;
    this.settled = new Promise((resolve, reject) => ([this.resolve, this.reject] = [resolve, reject]));
    this.settled.catch(() => {}); // callers may check the status instead of awaiting
  }

  get kind(): SendKind {
    return this.frame.type;
  }
  get clientID(): string {
    return this.frame.client_id;
  }
  get channelID(): string {
    return this.frame.channel_id;
  }
  get body(): string {
    return this.frame.body ?? "";
  }
  get replyTo(): string | undefined {
    return this.frame.reply_to;
  }
  get messageID(): string | undefined {
    return this.frame.message_id;
  }
  get id(): string | undefined {
    return this.ack?.id;
  }
  get seq(): number | undefined {
    return this.ack?.seq;
  }
  get sentAt(): string | undefined {
    return this.ack?.sentAt;
  }

  get transmitted(): boolean {
    return this.first > 0;
  }

  retry(): Pending {
    return this.owner.retry(this);
  }

  discard(): void {
    this.owner.discard(this);
  }

  /** expired reports whether the server may no longer recognize this send as a duplicate. */
  expired(now: number): boolean {
    return this.first > 0 && now - this.first >= IDEMPOTENT_MS;
  }

  acknowledge(ack: Ack): void {
    [this.status, this.ack, this.inFlight] = ["sent", ack, false];
    this.resolve(ack);
  }

  fail(error: ClientError): void {
    [this.status, this.error, this.inFlight] = ["failed", error, false];
    this.reject(error);
  }

  /** stored returns the send in the format of a PendingStore. */
  stored(): StoredSend {
    const { error } = this;
    return {
      client_id: this.clientID,
      channel_id: this.channelID,
      body: this.body,
      ...(this.replyTo === undefined ? {} : { reply_to: this.replyTo }),
      created_at: this.createdAt,
      first: this.first,
      ...(error ? { failed: { code: error.code, message: error.message, ...(error.errors.length > 0 ? { errors: error.errors } : {}) } } : {}),
    };
  }
}
