/** Saying how far this user has come: delivered, and read. */

import type { ChannelSummary } from "./frames.js";

/** What is said within this time is merged. */
const EVERY_MS = 200;
/** Cursors in one frame: it may have 128 KiB. */
const PER_FRAME = 400;

interface Cursor {
  delivered: number;
  read: number;
  /** What the server has told of it. */
  toldDelivered: number;
  toldRead: number;
}

/** Keeps the furthest that was said, and says it when there is a connection. */
export class Cursors {
  private readonly cursors = new Map<string, Cursor>();
  private readonly moved = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly up: () => boolean, private readonly send: (...frames: object[]) => void) {}

  private cursor(channelID: string): Cursor {
    let cursor = this.cursors.get(channelID);
    if (!cursor) this.cursors.set(channelID, (cursor = { delivered: 0, read: 0, toldDelivered: 0, toldRead: 0 }));
    return cursor;
  }

  /** How far this user has read, here or elsewhere, as far as it is known. */
  read(channelID: string): number {
    const cursor = this.cursors.get(channelID);
    return cursor ? Math.max(cursor.read, cursor.toldRead) : 0;
  }

  /** Says that all up to these seqs has come, and was read. False: that was said before. */
  move(channelID: string, delivered: number, read: number): boolean {
    const cursor = this.cursor(channelID);
    if (delivered <= cursor.delivered && read <= cursor.read) return false;
    cursor.delivered = Math.max(cursor.delivered, delivered);
    cursor.read = Math.max(cursor.read, read);
    this.moved.add(channelID);
    this.schedule();
    return true;
  }

  /** The server has told where the cursors stand. What it does not know is said again. */
  told(channelID: string, at: Pick<ChannelSummary, "last_delivered_seq" | "last_read_seq">): void {
    const cursor = this.cursor(channelID);
    cursor.toldDelivered = Math.max(cursor.toldDelivered, at.last_delivered_seq);
    cursor.toldRead = Math.max(cursor.toldRead, at.last_read_seq);
    if (cursor.delivered > cursor.toldDelivered || cursor.read > cursor.toldRead) {
      this.moved.add(channelID);
      this.schedule();
    }
  }

  forget(channelID: string): void {
    this.cursors.delete(channelID);
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
    }, EVERY_MS);
  }

  private flush(): void {
    if (!this.up()) return; // told() says it on the next connection
    const frames: object[] = [];
    for (const id of this.moved) {
      if (frames.length >= PER_FRAME) break;
      this.moved.delete(id);
      const c = this.cursors.get(id);
      if (!c) continue;
      if (c.delivered > Math.max(c.read, c.toldDelivered)) frames.push({ type: "delivered", channel_id: id, seq: c.delivered });
      if (c.read > c.toldRead) frames.push({ type: "read", channel_id: id, seq: c.read });
    }
    if (frames.length > 0) this.send(...frames);
    if (this.moved.size > 0) this.schedule();
  }
}
