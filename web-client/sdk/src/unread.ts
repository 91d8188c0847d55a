/** What is unread, channel by channel, between the counts that the server gives. */

import type { ChannelSummary, WireEvent } from "./frames.js";

/** The server's bound: it means more. */
const MANY = 1000;

export interface Unread {
  readonly unread: number;
  readonly mentions: number;
}

interface Counted {
  /** What the server has counted, up to `through`. */
  base: number;
  baseMentions: number;
  through: number;
  /** Messages that came since, by id, with whether they mention this user. */
  since: Map<string, { seq: number; mention: boolean }>;
  /** Nothing up to here counts. */
  read: number;
}

const NONE: Unread = { unread: 0, mentions: 0 };

/** Counts others' messages behind the read cursor. */
export class UnreadCounts {
  private readonly channels = new Map<string, Counted>();

  constructor(
    private readonly changed: (channelID: string) => void,
    /** Part of what the server has counted was read: only the server knows how much is left. */
    private readonly unsure: (channelID: string) => void,
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

  /** Takes the server's counts. `read` is how far the user has read, as far as it is known here. */
  told(id: string, s: Pick<ChannelSummary, "last_seq" | "last_read_seq" | "unread" | "unread_mentions">, read: number): void {
    const was = this.channels.get(id);
    const since = new Map([...(was?.since ?? [])].filter(([, m]) => m.seq > s.last_seq && m.seq > read));
    const c = { base: s.unread, baseMentions: s.unread_mentions, through: s.last_seq, since, read: s.last_read_seq };
    this.channels.set(id, c);
    this.changed(id);
    if (read > s.last_read_seq) this.read(id, read);
  }

  /** Takes an event of a channel. `me` is this user. */
  event(e: WireEvent, me: string): void {
    const c = this.channels.get(e.channel_id);
    if (!c || e.seq <= c.through) return;
    if (e.type === "delete" && c.since.delete(e.message_id)) return this.changed(e.channel_id);
    if (e.type !== "message" || e.sender_id === me || e.seq <= c.read || c.since.size >= MANY) return;
    c.since.set(e.id, { seq: e.seq, mention: e.mentions.includes(me) || e.mentions.includes(e.channel_id) });
    this.changed(e.channel_id);
  }

  /** The user has read up to a seq. */
  read(channelID: string, seq: number): void {
    const c = this.channels.get(channelID);
    if (!c || seq <= c.read) return;
    c.read = seq;
    const counted = c.base;
    if (seq >= c.through) [c.base, c.baseMentions] = [0, 0];
    let changed = c.base !== counted;
    for (const [id, m] of c.since) if (m.seq <= seq) changed = c.since.delete(id) || changed;
    if (changed) this.changed(channelID);
    if (c.base > 0) this.unsure(channelID);
  }

  /** A hole: what came since is not known. The counts stay until the server gives new ones. */
  forget(channelID: string): void {
    this.channels.delete(channelID);
  }
}
