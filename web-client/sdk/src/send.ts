/** One send: what is on the wire, how it stands, and who waits for it. */

import type { ClientError } from "./errors.js";
import type { SendStatus } from "./events.js";
import type { Outbound } from "./frames.js";
import type { Ack, Pending, SendKind, StoredSend } from "./pending.js";

/**
 * How long the server surely knows a send as a repetition: its ten minutes, less what clocks and the way
 * may differ.
 */
const IDEMPOTENT_MS = 9 * 60_000;

/** What a send asks of the outbox that it is in. */
export interface SendOwner {
  retry(send: Send): Pending;
  discard(send: Send): void;
}

/** A random UUID. `crypto.randomUUID` is missing where a page came over plain http. */
export function newClientID(): string {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6]! & 0x0f) | 0x40;
  b[8] = (b[8]! & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The body with every line end as `\n`, as the server stores it. */
export const normalizeBody = (body: string): string => body.replace(/\r\n?/g, "\n");

let lastCreated = 0;

/** The time, and never the same twice: sends are kept in its order. */
function creationTime(): number {
  lastCreated = Math.max(Date.now(), lastCreated + 1);
  return lastCreated;
}

/** The Pending that callers see. The outbox alone changes it. */
export class Send implements Pending {
  status: SendStatus = "pending";
  ack: Ack | undefined;
  error: ClientError | undefined;
  /** When it was on its way first; 0: not yet. */
  first = 0;
  /** It is on its way on the connection of now. */
  flying = false;
  readonly createdAt: number;
  readonly settled: Promise<Ack>;
  private resolve: (ack: Ack) => void = () => {};
  private reject: (error: ClientError) => void = () => {};

  constructor(
    readonly frame: Outbound,
    private readonly owner: SendOwner,
    kept?: StoredSend,
  ) {
    this.createdAt = kept?.created_at ?? creationTime();
    this.first = kept?.first ?? 0;
    this.settled = new Promise((resolve, reject) => ([this.resolve, this.reject] = [resolve, reject]));
    this.settled.catch(() => {}); // the status says it too: nobody has to wait
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

  retry(): Pending {
    return this.owner.retry(this);
  }

  discard(): void {
    this.owner.discard(this);
  }

  /** Whether the server may have forgotten that it was sent. */
  expired(now: number): boolean {
    return this.first > 0 && now - this.first >= IDEMPOTENT_MS;
  }

  acknowledge(ack: Ack): void {
    [this.status, this.ack, this.flying] = ["sent", ack, false];
    this.resolve(ack);
  }

  fail(error: ClientError): void {
    [this.status, this.error, this.flying] = ["failed", error, false];
    this.reject(error);
  }

  /** As a store keeps it. */
  stored(): StoredSend {
    const { error } = this;
    return {
      client_id: this.clientID,
      channel_id: this.channelID,
      body: this.body,
      ...(this.replyTo === undefined ? {} : { reply_to: this.replyTo }),
      created_at: this.createdAt,
      first: this.first,
      ...(error ? { failed: { code: error.code, message: error.message } } : {}),
    };
  }
}
