/** The state of one channel: its details, unread counts, messages and members. */

import type { Channel, ChannelDetails, ChannelKind, Member, Pending, Role } from "@parley/client";
import { computed, type ReadonlySignal, signal } from "@preact/signals";

import type { LoggedMessage, MessageLog } from "../lib/log";
import { NO_READERS, type Readers } from "../lib/readers";
import { nameOf, person } from "./people";

export interface Online {
  readonly count: number;
  readonly users: ReadonlySet<string>;
}

/** UnreadMark records the messages that the user had read and then marked as unread. */
export interface UnreadMark {
  /** The seq of the first message that the user marked as unread. */
  readonly from: number;
  /** How many messages from others were marked. */
  readonly count: number;
}

/** MAX_MEMBERS is the maximum number of members that the page lists. */
export const MAX_MEMBERS = 1000;

export class ChannelState {
  readonly id: string;
  readonly details = signal<ChannelDetails | undefined>(undefined);
  /** Messages that the user has marked as unread on this device. */
  readonly mark = signal<UnreadMark | undefined>(undefined);
  private readonly counted = signal({ unread: 0, mentions: 0 });
  readonly unread = computed(() => this.counted.value.unread + (this.mark.value?.count ?? 0));
  readonly mentions = computed(() => this.counted.value.mentions);
  /**
   * When the newest message was sent, in milliseconds since 1970; 0 if none has arrived since the
   * page was loaded.
   */
  readonly activeAt = signal(0);
  /** undefined until the channel is opened. */
  readonly log = signal<MessageLog | undefined>(undefined);
  /** The seq after which the "New messages" line is drawn; undefined means no line. */
  readonly newAfter = signal<number | undefined>(undefined);
  readonly pending = signal<readonly Pending[]>([]);
  readonly readers = signal<Readers>(NO_READERS);
  readonly typists = signal<readonly string[]>([]);
  readonly online = signal<Online>({ count: 0, users: new Set() });
  /** The message to which the next message replies. */
  readonly replyingTo = signal<LoggedMessage | undefined>(undefined);
  /**
   * Incremented when the channel's invitations or bans may have changed, so that they are read
   * again.
   */
  readonly outsidersVersion = signal(0);
  /** undefined until the members have been loaded. */
  readonly members = signal<readonly Member[] | undefined>(undefined);

  /** The channel's name; for a direct channel, the other user's name. */
  readonly title: ReadonlySignal<string> = computed(() => {
    const details = this.details.value;
    const peer = details?.peer;
    if (peer !== undefined) {
      return nameOf(person(peer.user_id).value, peer.display_name === "" ? peer.username : peer.display_name);
    }
    return details?.name ?? this.handle.summary?.name ?? "";
  });

  constructor(readonly handle: Channel) {
    this.id = handle.id;
  }

  /**
   * The channel's kind. It is a separate signal, so that lists filtered by kind are not recomputed
   * when other details change.
   */
  private readonly kindSignal = computed<ChannelKind>(() => this.details.value?.kind ?? this.handle.summary?.kind ?? "public");

  get kind(): ChannelKind {
    return this.kindSignal.value;
  }

  get role(): Role {
    return this.details.value?.role ?? "member";
  }

  /** The number of other members. */
  get others(): number {
    return this.kind === "direct" ? 1 : Math.max(0, (this.details.value?.member_count ?? 1) - 1);
  }

  /** Whether this user may change the channel and add and remove members. */
  get manages(): boolean {
    return this.kind !== "direct" && this.role !== "member";
  }

  /**
   * The seq up to which no message counts as unread, according to the server or the SDK. Messages
   * from before the user joined never count as unread.
   */
  get serverReadSeq(): number {
    const details = this.details.peek();
    return Math.max(this.handle.readSeq, details?.last_read_seq ?? 0, details?.joined_seq ?? 0);
  }

  /**
   * The seq up to which this user has read the channel. Messages that the user has marked as unread
   * count as not read.
   */
  get readSeq(): number {
    const mark = this.mark.peek();
    return mark === undefined ? this.serverReadSeq : Math.min(this.serverReadSeq, mark.from - 1);
  }

  /**
   * snapshot returns the details with the current counts and read position, for the offline copy.
   */
  readonly snapshot: ReadonlySignal<ChannelDetails | undefined> = computed(() => {
    const details = this.details.value;
    const { unread, mentions } = this.counted.value;
    return details && { ...details, unread, unread_mentions: mentions, last_read_seq: Math.max(details.last_read_seq ?? 0, this.handle.readSeq) };
  });

  setCounts(unread: number, mentions: number): void {
    this.counted.value = { unread, mentions };
  }

  setDetails(details: ChannelDetails): void {
    this.details.value = details;
    if (!this.handle.followed) {
      this.setCounts(details.unread, details.unread_mentions);
    }
  }
}
