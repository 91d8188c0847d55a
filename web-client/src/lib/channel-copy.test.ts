import type { ChannelEvent, Message } from "@parley/client";
import { describe, expect, it } from "vitest";

import { type ChannelCopy, copyOf, logOf, MAX_LENGTH, MAX_MESSAGES, withEvents } from "./channel-copy";
import type { MessageLog } from "./log";

const message = (seq: number, body = `m${seq}`): Message => ({
  id: `id${seq}`, channel_id: "c", seq, client_id: null, sender_id: "bob", sender_name: "bob", body, mentions: [], reply_to: null,
  sent_at: "2026-01-02T03:04:05.006Z", edited_at: null, deleted_at: null, reactions: [],
});
const log = (count: number, body?: string): MessageLog => ({
  messages: Array.from({ length: count }, (_, i) => message(i + 1, body)), atOldest: true, atNewest: true,
});
const by = { channel_id: "c", sender_id: "bob", sent_at: "2026-01-02T03:05:05.006Z", epoch: "1-a", mine: false };
const posted = (seq: number): ChannelEvent => ({ ...message(seq), mentions: [], type: "message", epoch: "1-a", mine: false });
const edited = (seq: number, of: number): ChannelEvent => ({ ...by, type: "edit", seq, id: `e${seq}`, message_id: `id${of}`, body: "edited" });
const deleted = (seq: number, of: number): ChannelEvent => ({ ...by, type: "delete", seq, id: `d${seq}`, message_id: `id${of}` });
const bodies = ({ messages }: ChannelCopy): string[] => messages.map((m) => m.body);

describe("the copy of a channel", () => {
  it("contains a short channel completely", () => {
    expect(copyOf(log(3), 3)).toEqual({ messages: log(3).messages, atOldest: true, through: 3 });
    expect(copyOf(log(0), 0)).toEqual({ messages: [], atOldest: true, through: 0 });
  });

  it("contains the newest messages of a longer one", () => {
    const copy = copyOf(log(MAX_MESSAGES + 7), 60);
    expect([copy.messages.length, copy.messages[0]?.seq, copy.messages.at(-1)?.seq, copy.atOldest]).toEqual([MAX_MESSAGES, 8, MAX_MESSAGES + 7, false]);
  });

  it("is limited in length", () => {
    const copy = copyOf(log(20, "x".repeat(6000)), 20);
    expect(copy.messages.map((m) => m.seq)).toEqual([16, 17, 18, 19, 20]);
    expect(JSON.stringify(copy.messages).length).toBeLessThan(MAX_LENGTH + 100);
    expect(copyOf(log(2, "x".repeat(MAX_LENGTH)), 2).messages).toEqual([]);
  });

  it("follows events", () => {
    const copy = withEvents(copyOf(log(3), 3), [posted(4), edited(5, 2), posted(6), deleted(7, 4)]);
    expect([bodies(copy), copy.through]).toEqual([["m1", "edited", "m3", "", "m6"], 7]);
    expect(withEvents(copy, [posted(6), deleted(7, 4)])).toEqual(copy);
    expect(withEvents(copyOf(log(MAX_MESSAGES), MAX_MESSAGES), [posted(MAX_MESSAGES + 1)]).messages).toHaveLength(MAX_MESSAGES);
  });

  it("has no gap if events are missing, but follows edits and deletions", () => {
    const copy = withEvents(copyOf(log(3), 3), [posted(9), edited(10, 1), deleted(11, 2)]);
    expect([bodies(copy), copy.through]).toEqual([["edited", "", "m3"], 3]);
  });

  it("is shown as a log that is marked", () => {
    expect(logOf(copyOf(log(1), 1))).toEqual({ ...log(1), fromCopy: true });
  });
});
