/** How far this user's messages have come: delivered to another member, read by one. */

import type { Receipt, ReceiptCounts } from "./frames.js";
import type { Send } from "./send.js";

/** Of how many messages, of those not read yet, it is told how far they have come. */
const MAX_TRACKED = 1000;
/** Receipts are not replayed: of how many channels, and of how many messages each, they are asked for after a reconnect. */
const ASKED_CHANNELS = 20;
const ASKED_PER_CHANNEL = 10;

export interface Reached {
  /** This user's messages up to here have reached another member. */
  readonly delivered: number;
  /** Another member has read up to here. */
  readonly read: number;
}

/** A message of this user, of which the server can be asked who has it. */
export interface OwnMessage {
  readonly id: string;
  readonly seq: number;
}

type Counts = Pick<ReceiptCounts, "seq" | "delivered_count" | "read_count">;

const NOWHERE: Reached = { delivered: 0, read: 0 };

/** Knows, per channel, how far the furthest of the others has come. It never goes back. */
export class Reach {
  private readonly marks = new Map<string, Reached>();
  private sent: Send[] = []; // acknowledged, and read by nobody that we know of

  constructor(
    private readonly changed: (channelID: string, reached: Reached) => void,
    private readonly status: (send: Send) => void,
    /** Asks the server who has a message. */
    private readonly receipts: (channelID: string, messageID: string) => Promise<Counts>,
  ) {}

  of(channelID: string): Reached {
    return this.marks.get(channelID) ?? NOWHERE;
  }

  /** How far a message of this user with a seq has come. */
  statusOf(channelID: string, seq: number): "sent" | "delivered" | "read" {
    const { delivered, read } = this.of(channelID);
    if (seq <= read) return "read";
    return seq <= delivered ? "delivered" : "sent";
  }

  /** A message was acknowledged. */
  track(send: Send): void {
    if (send.kind !== "send") return;
    if (this.sent.length >= MAX_TRACKED) this.sent.shift();
    this.sent.push(send);
    this.tell();
  }

  receipt(frame: Receipt): void {
    this.advance(frame.channel_id, Math.max(frame.delivered_seq, frame.read_seq), frame.read_seq);
  }

  counts(channelID: string, counts: Counts): void {
    this.advance(channelID, counts.delivered_count > 0 ? counts.seq : 0, counts.read_count > 0 ? counts.seq : 0);
  }

  /** Asks how far messages of this user have come, the newest first, until one was read. */
  async ask(channelID: string, messages: readonly OwnMessage[]): Promise<void> {
    const newestFirst = [...messages].sort((a, b) => b.seq - a.seq).slice(0, ASKED_PER_CHANNEL);
    for (const { id, seq } of newestFirst) {
      if (seq <= this.of(channelID).read) return;
      const counts = await this.receipts(channelID, id);
      this.counts(channelID, counts);
      if (counts.read_count > 0) return;
    }
  }

  /** Asks what was missed of those that are tracked. */
  async catchUp(): Promise<void> {
    for (const [id, messages] of [...this.unread()].slice(0, ASKED_CHANNELS)) {
      try {
        await this.ask(id, messages);
      } catch {
        return; // they are news of the moment: whoever needs them asks
      }
    }
  }

  private advance(channelID: string, delivered: number, read: number): void {
    const was = this.of(channelID);
    const now = { delivered: Math.max(was.delivered, delivered, read), read: Math.max(was.read, read) };
    if (now.delivered === was.delivered && now.read === was.read) return;
    this.marks.set(channelID, now);
    this.changed(channelID, now);
    this.tell();
  }

  /** Says of each tracked message what is new of it. */
  private tell(): void {
    const news = this.sent.filter((s) => s.seq !== undefined && this.statusOf(s.channelID, s.seq) !== s.status && s.status !== "read");
    for (const send of news) {
      const status = this.statusOf(send.channelID, send.seq ?? 0);
      if (status !== "sent") [send.status] = [status];
    }
    this.sent = this.sent.filter((s) => s.status !== "read");
    for (const send of news) if (send.status !== "sent") this.status(send);
  }

  /** The send of an event that could not be stored after all. */
  drop(clientID: string): Send | undefined {
    const send = this.sent.find((s) => s.clientID === clientID);
    this.sent = this.sent.filter((s) => s !== send);
    return send;
  }

  /** Messages that nobody is known to have read, by channel. */
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
