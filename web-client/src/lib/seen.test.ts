import type { Message } from "@parley/client";
import { describe, expect, it } from "vitest";

import type { MessageLog } from "./log";
import { countUnread, firstUnread, readThrough } from "./seen";

const message = (seq: number, sender = "bob", deleted = false): Message => ({
  id: `id${seq}`, channel_id: "c", seq, client_id: null, sender_id: sender, sender_name: sender, body: "", mentions: [], reply_to: null,
  sent_at: "2026-01-02T03:04:05.006Z", edited_at: null, deleted_at: deleted ? "2026-01-02T03:04:05.006Z" : null, reactions: [],
});
const log = (messages: readonly Message[], atOldest = false, atNewest = false): MessageLog => ({ messages, atOldest, atNewest });
const run = (from: number, to: number): Message[] => Array.from({ length: to - from + 1 }, (_, i) => message(from + i));
const saw = (...seqs: number[]) => (m: Message) => m.sender_id === "me" || seqs.includes(m.seq);

describe("readThrough", () => {
  it("stops before the first message that was not on screen", () => {
    expect(readThrough(log(run(3, 9)), 4, 9, saw(5, 6, 8, 9))).toBe(6);
    expect(readThrough(log(run(3, 9)), 4, 9, saw(8, 9))).toBe(4);
  });

  it("passes the user's own messages and gaps without messages", () => {
    expect(readThrough(log([message(3), message(5), message(8, "me"), message(9)]), 3, 12, saw(5, 9))).toBe(9);
  });

  it("reaches the channel's newest event after its newest message", () => {
    expect(readThrough(log(run(3, 9), false, true), 4, 12, saw(5, 6, 7, 8, 9))).toBe(12);
    expect(readThrough(log(run(3, 9), false, true), 9, 12, saw())).toBe(12);
    expect(readThrough(log([], true, true), 0, 2, saw())).toBe(2);
  });

  it("does not pass messages that are not loaded", () => {
    expect(readThrough(log(run(50, 60), false, true), 4, 60, () => true)).toBe(4);
    expect(readThrough(log(run(5, 9)), 4, 20, () => true)).toBe(9);
  });
});

describe("firstUnread", () => {
  it("is the first message of another user that is not deleted", () => {
    const l = log([message(3), message(4, "me"), message(5, "bob", true), message(6), message(7)]);
    expect(firstUnread(l, 3, "me")?.seq).toBe(6);
    expect(firstUnread(l, 7, "me")).toBeUndefined();
  });

  it("is unknown if earlier messages are not loaded", () => {
    expect(firstUnread(log(run(50, 60)), 4, "me")).toBeUndefined();
  });
});

it("countUnread counts as the server does", () => {
  expect(countUnread(log([...run(1, 4), message(5, "me"), message(6, "bob", true), message(7)]), 3, 7, "me")).toBe(3);
});
