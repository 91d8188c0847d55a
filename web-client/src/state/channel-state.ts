/** One channel as the page holds it: what it is, what is unread, who is there. */

import type { Channel, ChannelDetails, ChannelKind, Member, Pending, Role } from "@parley/client";
import { computed, type ReadonlySignal, signal } from "@preact/signals";

import { type MessageLog } from "../lib/log";
import { nameOf, person } from "./people";

export interface Reached {
  readonly delivered: number;
  readonly read: number;
}

export interface Online {
  readonly count: number;
  readonly users: ReadonlySet<string>;
}

/** How many members the page lists; a larger channel is one that nobody reads through. */
export const MOST_MEMBERS = 1000;

export class ChannelState {
  readonly id: string;
  readonly details = signal<ChannelDetails | undefined>(undefined);
  readonly unread = signal(0);
  readonly mentions = signal(0);
  /** When something was last said, as far as this page knows: 0 if nothing was since it was loaded. */
  readonly activeAt = signal(0);
  /** Absent until the channel is opened. */
  readonly log = signal<MessageLog | undefined>(undefined);
  /** The seq behind which the line "new" is drawn; undefined: no line. */
  readonly newAfter = signal<number | undefined>(undefined);
  readonly pending = signal<readonly Pending[]>([]);
  readonly reached = signal<Reached>({ delivered: 0, read: 0 });
  readonly typists = signal<readonly string[]>([]);
  readonly online = signal<Online>({ count: 0, users: new Set() });
  /** Absent until somebody asks for them. */
  readonly members = signal<readonly Member[] | undefined>(undefined);

  /** What the channel is called: a direct one after the other user. */
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

  /** Of itself: lists that are made by kind do not change with whatever else is new of a channel. */
  private readonly kindSignal = computed<ChannelKind>(() => this.details.value?.kind ?? this.handle.summary?.kind ?? "public");

  get kind(): ChannelKind {
    return this.kindSignal.value;
  }

  get role(): Role {
    return this.details.value?.role ?? "member";
  }

  /** Whether we may change the channel, and add and remove members. */
  get manages(): boolean {
    return this.kind !== "direct" && this.role !== "member";
  }

  /** How far we have read, from whoever knows more. */
  get readSeq(): number {
    return Math.max(this.handle.readSeq, this.details.peek()?.last_read_seq ?? 0);
  }

  setDetails(details: ChannelDetails): void {
    this.details.value = details;
    if (!this.handle.followed) {
      this.unread.value = details.unread;
      this.mentions.value = details.unread_mentions;
    }
  }
}
