/** Reports this user's delivered and read positions to the server. */

import type { ChannelSummary } from "./frames.js";

/**
 * FLUSH_INTERVAL_MS is how long the client collects changes to the receipt positions before it
 * reports them to the server.
 */
const FLUSH_INTERVAL_MS = 200;
/**
 * MAX_PER_FRAME is the maximum number of positions sent in one WebSocket message, whose size limit
 * is 128 KiB.
 */
const MAX_PER_FRAME = 400;

interface Receipt {
  delivered: number;
  read: number;
  /** The positions last reported by the server. */
  serverDelivered: number;
  serverRead: number;
}

/** Receipts holds this user's receipt positions and reports them while the client is connected. */
export class Receipts {
  private readonly receipts = new Map<string, Receipt>();
  private readonly moved = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly up: () => boolean, private readonly send: (...frames: object[]) => void) {}

  private receipt(channelID: string): Receipt {
    let receipt = this.receipts.get(channelID);
    if (!receipt) this.receipts.set(channelID, (receipt = { delivered: 0, read: 0, serverDelivered: 0, serverRead: 0 }));
    return receipt;
  }

  /**
   * read returns the highest seq that this user is known to have read, on this device or another.
   */
  read(channelID: string): number {
    const receipt = this.receipts.get(channelID);
    return receipt ? Math.max(receipt.read, receipt.serverRead) : 0;
  }

  /**
   * move records new receipt positions and schedules a report. It returns false if neither the
   * delivered nor the read position has advanced.
   */
  move(channelID: string, delivered: number, read: number): boolean {
    const receipt = this.receipt(channelID);
    if (delivered <= receipt.delivered && read <= receipt.read) return false;
    receipt.delivered = Math.max(receipt.delivered, delivered);
    receipt.read = Math.max(receipt.read, read);
    this.moved.add(channelID);
    this.schedule();
    return true;
  }

  /**
   * fromServer records the receipt positions that the server reported, and schedules a report if
   * they are behind the local ones.
   */
  fromServer(channelID: string, at: Pick<ChannelSummary, "last_delivered_seq" | "last_read_seq">): void {
    const receipt = this.receipt(channelID);
    receipt.serverDelivered = Math.max(receipt.serverDelivered, at.last_delivered_seq);
    receipt.serverRead = Math.max(receipt.serverRead, at.last_read_seq);
    if (receipt.delivered > receipt.serverDelivered || receipt.read > receipt.serverRead) {
      this.moved.add(channelID);
      this.schedule();
    }
  }

  forget(channelID: string): void {
    this.receipts.delete(channelID);
    this.moved.delete(channelID);
  }

  lost(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.flush();
    }, FLUSH_INTERVAL_MS);
  }

  private flush(): void {
    if (!this.up()) return; // fromServer() schedules another flush on the next connection
    const frames: object[] = [];
    for (const id of this.moved) {
      if (frames.length >= MAX_PER_FRAME) break;
      this.moved.delete(id);
      const c = this.receipts.get(id);
      if (!c) continue;
      if (c.delivered > Math.max(c.read, c.serverDelivered)) frames.push({ type: "delivered", channel_id: id, seq: c.delivered });
      if (c.read > c.serverRead) frames.push({ type: "read", channel_id: id, seq: c.read });
    }
    if (frames.length > 0) this.send(...frames);
    if (this.moved.size > 0) this.schedule();
  }
}
