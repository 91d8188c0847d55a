/** The unread counts for each channel, kept up to date between counts from the server. */

import type { ChannelSummary, WireEvent } from "./frames.js";

/** MANY is the highest count that the server returns; it means "at least this many". */
const MANY = 1000;

export interface Unread {
  readonly unread: number;
  readonly mentions: number;
}

interface Counted {
  /** The server's counts of unread messages, which cover all messages up to the seq `through`. */
  base: number;
  baseMentions: number;
  through: number;
  /** Unread messages with a seq after `through`, by id, and whether each one mentions this user. */
  since: Map<string, { seq: number; mention: boolean }>;
  /** Messages up to this seq have been read. */
  read: number;
}

const NONE: Unread = { unread: 0, mentions: 0 };

/** UnreadCounts counts other users' messages after this user's read position. */
export class UnreadCounts {
  private readonly channels = new Map<string, Counted>();

  constructor(
    private readonly changed: (channelID: string) => void,
    /**
     * Called when some of the messages in the server's count have been read. From then on, only the
     * server knows how many remain.
     */
    private readonly recount: (channelID: string) => void,
  ) {}

  of(channelID: string): Unread {
    const c = this.channels.get(channelID);
    if (!c) return NONE;
    const since = [...c.since.values()];
    return {
      unread: Math.min(MANY, c.base + since.length),
      mentions: Math.min(MANY, c.baseMentions + since.filter((m) => m.mention).length),
    };
  }

  /**
   * fromServer records the server's counts of unread messages. `read` is the highest seq that this
   * user is known to have read.
   */
  fromServer(id: string, s: Pick<ChannelSummary, "last_seq" | "last_read_seq" | "unread" | "unread_mentions">, read: number): void {
    const was = this.channels.get(id);
    const since = new Map([...(was?.since ?? [])].filter(([, m]) => m.seq > s.last_seq && m.seq > read));
    const c = { base: s.unread, baseMentions: s.unread_mentions, through: s.last_seq, since, read: s.last_read_seq };
    this.channels.set(id, c);
    this.changed(id);
    if (read > s.last_read_seq) this.read(id, read);
  }

  /**
   * event updates a channel's unread counts after an event in the channel. `me` is this user's id.
   */
  event(e: WireEvent, me: string): void {
    const c = this.channels.get(e.channel_id);
    if (!c || e.seq <= c.through) return;
    if (e.type === "delete" && c.since.delete(e.message_id)) return this.changed(e.channel_id);
    if (e.type !== "message" || e.sender_id === me || e.seq <= c.read || c.since.size >= MANY) return;
    c.since.set(e.id, { seq: e.seq, mention: e.mentions.includes(me) || e.mentions.includes(e.channel_id) });
    this.changed(e.channel_id);
  }

  /** read records that the user has read all messages up to seq. */
  read(channelID: string, seq: number): void {
    const c = this.channels.get(channelID);
    if (!c || seq <= c.read) return;
    c.read = seq;
    const counted = c.base;
    if (seq >= c.through) [c.base, c.baseMentions] = [0, 0];
    let changed = c.base !== counted;
    for (const [id, m] of c.since) if (m.seq <= seq) changed = c.since.delete(id) || changed;
    if (changed) this.changed(channelID);
    if (c.base > 0) this.recount(channelID);
  }

  /** forget discards a channel's counts. */
  forget(channelID: string): void {
    this.channels.delete(channelID);
  }
}
