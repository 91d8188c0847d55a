/** The progress of this user's messages: whether another member has received and read them. */

import type { Receipt, ReceiptCounts } from "./frames.js";
import type { Send } from "./send.js";

/**
 * MAX_TRACKED is the maximum number of this user's messages whose status is tracked. A message is
 * tracked until another member has read it.
 */
const MAX_TRACKED = 1000;
/**
 * The maximum number of channels, and of messages per channel, whose receipts the client requests
 * after reconnecting. It requests them because receipts are not replayed.
 */
const MAX_CHANNELS_ASKED = 20;
const MAX_ASKED_PER_CHANNEL = 10;

export interface Reached {
  /** This user's messages up to this seq have been delivered to at least one other member. */
  readonly delivered: number;
  /** At least one other member has read up to this seq. */
  readonly read: number;
}

/** A message from this user whose receipts can be requested from the server. */
export interface OwnMessage {
  readonly id: string;
  readonly seq: number;
}

type Counts = Pick<ReceiptCounts, "seq" | "delivered_count" | "read_count">;

const NONE: Reached = { delivered: 0, read: 0 };

/**
 * Reach tracks the furthest delivered and read positions of the other members in each channel.
 * Positions never move backward.
 */
export class Reach {
  private readonly positions = new Map<string, Reached>();
  private sent: Send[] = []; // acknowledged, and not known to have been read by anyone

  constructor(
    private readonly changed: (channelID: string, reached: Reached) => void,
    private readonly status: (send: Send) => void,
    /** Requests the receipts for a message. */
    private readonly receipts: (channelID: string, messageID: string) => Promise<Counts>,
  ) {}

  of(channelID: string): Reached {
    return this.positions.get(channelID) ?? NONE;
  }

  /** statusOf returns the status of this user's message with the given seq. */
  statusOf(channelID: string, seq: number): "sent" | "delivered" | "read" {
    const { delivered, read } = this.of(channelID);
    if (seq <= read) return "read";
    return seq <= delivered ? "delivered" : "sent";
  }

  /** track starts tracking an acknowledged message. */
  track(send: Send): void {
    if (send.kind !== "send") return;
    if (this.sent.length >= MAX_TRACKED) this.sent.shift();
    this.sent.push(send);
    this.notify();
  }

  receipt(frame: Receipt): void {
    this.advance(frame.channel_id, Math.max(frame.delivered_seq, frame.read_seq), frame.read_seq);
  }

  counts(channelID: string, counts: Counts): void {
    this.advance(channelID, counts.delivered_count > 0 ? counts.seq : 0, counts.read_count > 0 ? counts.seq : 0);
  }

  /**
   * ask requests the receipts for this user's messages, newest first, until it finds a message that
   * has been read.
   */
  async ask(channelID: string, messages: readonly OwnMessage[]): Promise<void> {
    const newestFirst = [...messages].sort((a, b) => b.seq - a.seq).slice(0, MAX_ASKED_PER_CHANNEL);
    for (const { id, seq } of newestFirst) {
      if (seq <= this.of(channelID).read) return;
      const counts = await this.receipts(channelID, id);
      this.counts(channelID, counts);
      if (counts.read_count > 0) return;
    }
  }

  /** catchUp requests the receipts that may have been missed for the tracked messages. */
  async catchUp(): Promise<void> {
    for (const [id, messages] of [...this.unread()].slice(0, MAX_CHANNELS_ASKED)) {
      try {
        await this.ask(id, messages);
      } catch {
        return; // receipts are ephemeral: callers that need them request them again
      }
    }
  }

  private advance(channelID: string, delivered: number, read: number): void {
    const was = this.of(channelID);
    const now = { delivered: Math.max(was.delivered, delivered, read), read: Math.max(was.read, read) };
    if (now.delivered === was.delivered && now.read === was.read) return;
    this.positions.set(channelID, now);
    this.changed(channelID, now);
    this.notify();
  }

  /** notify updates the status of the tracked messages and reports each change. */
  private notify(): void {
    const advanced = this.sent.filter((s) => s.seq !== undefined && this.statusOf(s.channelID, s.seq) !== s.status && s.status !== "read");
    for (const send of advanced) {
      const status = this.statusOf(send.channelID, send.seq ?? 0);
      if (status !== "sent") [send.status] = [status];
    }
    this.sent = this.sent.filter((s) => s.status !== "read");
    for (const send of advanced) if (send.status !== "sent") this.status(send);
  }

  /**
   * drop stops tracking a message that could not be stored. It returns the message's Send object,
   * or undefined if the message was not tracked.
   */
  drop(clientID: string): Send | undefined {
    const send = this.sent.find((s) => s.clientID === clientID);
    this.sent = this.sent.filter((s) => s !== send);
    return send;
  }

  /**
   * unread returns this user's messages that are not known to have been read, grouped by channel.
   */
  private unread(): Map<string, OwnMessage[]> {
    const channels = new Map<string, OwnMessage[]>();
    for (const { channelID, id, seq } of this.sent) {
      if (id === undefined || seq === undefined) continue;
      const list = channels.get(channelID);
      if (list) list.push({ id, seq });
      else channels.set(channelID, [{ id, seq }]);
    }
    return channels;
  }
}
