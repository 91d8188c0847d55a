import type { ChannelEvent, Message } from "@parley/client";
import { describe, expect, it } from "vitest";

import { apply, cutAfter, EMPTY, extend, indexOfSeq, type MessageLog, prepend } from "./log";

const channel = "c";
const message = (seq: number, body = `m${seq}`): Message => ({
  id: `id${seq}`, channel_id: channel, seq, client_id: null, sender_id: "ann", sender_name: "ann", body, mentions: [], reply_to: null,
  sent_at: "2026-01-02T03:04:05.006Z", edited_at: null, deleted_at: null, reactions: [],
});
const common = (seq: number) =>
  ({ channel_id: channel, seq, id: `e${seq}`, client_id: null, sender_id: "bob", sent_at: "2026-01-02T03:04:06.006Z", epoch: "1-a", mine: false }) as const;
const posted = (seq: number): ChannelEvent =>
  ({ ...common(seq), id: `id${seq}`, type: "message", sender_name: "bob", body: `m${seq}`, mentions: [], reply_to: null });
const edit = (seq: number, of: number, body: string): ChannelEvent => ({ ...common(seq), type: "edit", message_id: `id${of}`, body });
const gone = (seq: number, of: number): ChannelEvent => ({ ...common(seq), type: "delete", message_id: `id${of}` });
const reaction = (seq: number, of: number, emoji: string, remove = false): ChannelEvent =>
  ({ ...common(seq), type: "reaction", message_id: `id${of}`, emoji, remove });

const live: MessageLog = { messages: [message(1), message(2)], atOldest: true, atNewest: true };
const seqs = (log: MessageLog): number[] => log.messages.map((m) => m.seq);
const fold = (log: MessageLog, ...events: ChannelEvent[]): MessageLog => events.reduce(apply, log);

describe("apply", () => {
  it("appends a message once, and only to a log that reaches the newest message", () => {
    expect(seqs(fold(live, posted(3), posted(3), posted(2)))).toEqual([1, 2, 3]);
    const far = { ...live, atNewest: false };
    expect(apply(far, posted(3))).toBe(far);
  });

  it("keeps the edit with the higher seq, in any order", () => {
    for (const events of [[edit(3, 1, "a"), edit(4, 1, "b")], [edit(4, 1, "b"), edit(3, 1, "a")]]) {
      expect(fold(live, ...events).messages[0]).toMatchObject({ body: "b", edit_seq: 4 });
    }
  });

  it("lets a deletion win over edits and reactions", () => {
    for (const events of [[gone(3, 1), edit(4, 1, "b"), reaction(5, 1, "x")], [edit(4, 1, "b"), reaction(5, 1, "x"), gone(3, 1)]]) {
      expect(fold(live, ...events).messages[0]).toMatchObject({ body: "", reactions: [], deleted_at: "2026-01-02T03:04:06.006Z" });
    }
  });

  it("counts users of a reaction whom the page did not list", () => {
    const users = Array.from({ length: 20 }, (_, i) => `user${i}`);
    const log: MessageLog = { ...live, messages: [{ ...message(1), reactions: [{ emoji: "👍", count: 30, user_ids: users }] }] };
    const counts = (...events: ChannelEvent[]): number | undefined => fold(log, ...events).messages[0]?.reactions[0]?.count;
    expect(counts(reaction(3, 1, "👍"))).toBe(31);
    expect(counts(reaction(3, 1, "👍"), reaction(4, 1, "👍"))).toBe(31);
    expect(counts(reaction(3, 1, "👍", true))).toBe(29);
  });

  it("holds reactions as a set", () => {
    const twice = fold(live, reaction(3, 2, "👍"), reaction(4, 2, "👍"), reaction(5, 2, "🎉"));
    expect(twice.messages[1]?.reactions).toEqual([{ emoji: "👍", count: 1, user_ids: ["bob"] }, { emoji: "🎉", count: 1, user_ids: ["bob"] }]);
    expect(fold(twice, reaction(6, 2, "👍", true), reaction(7, 2, "👍", true)).messages[1]?.reactions).toHaveLength(1);
  });

  it("returns the same log for messages that it does not contain", () => {
    expect(fold(live, edit(9, 7, "x"), gone(9, 7), reaction(9, 7, "x"))).toBe(live);
  });
});

describe("pages", () => {
  it("are added before and after, without duplicates", () => {
    const middle: MessageLog = { messages: [message(5), message(6)], atOldest: false, atNewest: false };
    const grown = extend(prepend(middle, [message(4), message(5)], 2), [message(6), message(7), message(8)], 4);
    expect(seqs(grown)).toEqual([4, 5, 6, 7, 8]);
    expect(grown).toMatchObject({ atOldest: false, atNewest: true });
    expect(prepend(EMPTY, [message(1)], 2)).toMatchObject({ atOldest: true });
  });

  it("are cut at the seq after which the server has lost events", () => {
    expect(seqs(cutAfter(live, 1))).toEqual([1]);
    expect(cutAfter(live, 2)).toBe(live);
    expect(seqs(cutAfter(live, 0))).toEqual([]);
  });
});

describe("indexOfSeq", () => {
  it("finds a seq, or where it would be", () => {
    const messages = [message(2), message(4), message(9)];
    expect([1, 2, 3, 4, 5, 9, 10].map((s) => indexOfSeq(messages, s))).toEqual([0, 0, 1, 1, 2, 2, 3]);
  });
});
