/** Keeps the offline copy up to date while the user is signed in: see `offline-store.ts`. */

import type { ChannelEvent } from "@parley/client";
import { effect } from "@preact/signals";

import { type ChannelCopy, copyOf, withEvents } from "../lib/channel-copy";
import type { ChannelState } from "./channel-state";
import { channels, channelsLoaded, openState } from "./channels";
import { groups } from "./groups";
import { knownSeq, reading } from "./history";
import { canStartOffline, copiedChannel, copyChannel, copyList, noteOpened } from "./offline-store";
import { type Person, person } from "./people";

/**
 * MESSAGES_DELAY_MS is the delay before changed messages are stored. All changes made during the
 * delay are stored together.
 */
const MESSAGES_DELAY_MS = 1_000;
/**
 * LIST_DELAY_MS is the delay before the changed channel list is stored. It is long because every
 * unread message changes the list.
 */
const LIST_DELAY_MS = 10_000;

/**
 * Copier stores one session's changes in the offline copy. When the page is hidden, it stores them
 * immediately.
 */
export class Copier {
  /** The channels whose logs have changed. */
  private readonly changed = new Set<ChannelState>();
  /** Events of channels whose newest messages are not loaded, by channel. */
  private readonly events = new Map<ChannelState, ChannelEvent[]>();
  private listChanged = false;
  private readonly timers = new Map<() => void, ReturnType<typeof setTimeout>>();
  private readonly watched = new Set<ChannelState>();
  private readonly offs: (() => void)[] = [];

  constructor(private readonly userID: string) {}

  start(): void {
    if (!canStartOffline()) {
      return;
    }
    this.offs.push(
      effect(() => {
        const open = openState.value;
        if (open !== undefined) {
          noteOpened(this.userID, open.id);
          this.watch(open);
        }
      }),
      effect(() => {
        channels.value.forEach((c) => c.snapshot.value);
        void groups.value;
        this.listChanged = true;
        this.later(this.storeList, LIST_DELAY_MS);
      }),
    );
    const hidden = (): void => {
      if (document.visibilityState === "hidden") {
        this.store();
      }
    };
    addEventListener("pagehide", this.store);
    document.addEventListener("visibilitychange", hidden);
    this.offs.push(
      () => removeEventListener("pagehide", this.store),
      () => document.removeEventListener("visibilitychange", hidden),
    );
  }

  /** stop discards what has not been stored. */
  stop(): void {
    this.offs.forEach((off) => off());
    this.timers.forEach(clearTimeout);
  }

  private watch(state: ChannelState): void {
    if (this.watched.has(state)) {
      return;
    }
    this.watched.add(state);
    this.offs.push(
      effect(() => {
        if (current(state)) {
          this.changed.add(state);
          this.later(this.storeMessages, MESSAGES_DELAY_MS);
        }
      }),
    );
  }

  /** note records an event, so that the copy is updated even if the channel has not been opened. */
  note(state: ChannelState, event: ChannelEvent): void {
    if (canStartOffline() && !current(state)) {
      const noted = this.events.get(state);
      if (noted === undefined) {
        this.events.set(state, [event]);
      } else {
        noted.push(event);
      }
      this.later(this.storeMessages, MESSAGES_DELAY_MS);
    }
  }

  private later(work: () => void, ms: number): void {
    if (!this.timers.has(work)) {
      this.timers.set(work, setTimeout(work, ms));
    }
  }

  private readonly store = (): void => {
    this.storeList();
    this.storeMessages();
  };

  private readonly storeList = (): void => {
    this.timers.delete(this.storeList);
    // Do not store the channel list before it has been loaded, because it may be incomplete.
    if (!this.listChanged || !channelsLoaded.peek()) {
      return;
    }
    this.listChanged = false;
    const details = [...channels.peek().values()].flatMap((c) => c.snapshot.peek() ?? []);
    copyList(this.userID, { channels: details, groups: groups.peek() ?? [] });
  };

  private readonly storeMessages = (): void => {
    this.timers.delete(this.storeMessages);
    const [changed, events] = [[...this.changed], [...this.events]];
    this.changed.clear();
    this.events.clear();
    for (const [state, list] of events) {
      const copy = copiedChannel(state.id);
      if (copy !== undefined) {
        this.storeChannel(state, withEvents(copy, list), copy.people);
      }
    }
    for (const state of changed) {
      const log = state.log.peek();
      // If the log is being read, it will change again and be stored after the read.
      if (log !== undefined && current(state) && !reading(state).has("whole")) {
        const through = Math.max(knownSeq(state), state.handle.position?.seq ?? 0);
        this.storeChannel(state, copyOf(log, through), []);
      }
    }
  };

  /**
   * storeChannel stores a channel's messages, with the users whose names they show. `known`
   * contains users whom the page may not have loaded.
   */
  private storeChannel(state: ChannelState, copy: ChannelCopy, known: readonly Person[]): void {
    const people = new Map(known.map((p) => [p.id, p]));
    const named = new Set(copy.messages.flatMap((m) => [m.sender_id, ...m.mentions]));
    const now = [...named].map((id) => person(id).peek()).map((p) => (p.username === "" && !p.deleted ? people.get(p.id) : p));
    copyChannel(this.userID, state.id, { ...copy, people: now.filter((p) => p !== undefined) });
  }
}

/** current reports whether the channel's newest messages are loaded from the server. */
const current = ({ log }: ChannelState): boolean => log.value?.atNewest === true && log.value.fromCopy !== true;
