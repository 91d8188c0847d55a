import type { Message } from "@parley/client";
import { describe, expect, it } from "vitest";

import { dayLabel } from "./dates";
import { colorOf, initialsOf } from "./identity";
import { type Row, rowsOf } from "./rows";

const at = Date.parse("2026-03-04T10:00:00.000Z");
const message = (seq: number, by: string, minute: number, more: Partial<Message> = {}): Message => ({
  id: `id${seq}`, channel_id: "c", seq, client_id: `k${seq}`, sender_id: by, sender_name: by, body: "x", mentions: [], reply_to: null,
  sent_at: new Date(at + minute * 60_000).toISOString(), edited_at: null, deleted_at: null, reactions: [], ...more,
});
const rows = (messages: Message[], readSeq?: number, atNewest = true): readonly Row[] =>
  rowsOf({ log: { messages, atOldest: true, atNewest }, pending: [], me: "me", readSeq });
const shape = (list: readonly Row[]): string => list.map((r) => (r.kind === "message" ? (r.head ? "M" : "m") : (r.kind[0] ?? ""))).join("");

describe("rowsOf", () => {
  it("groups an author's messages within five minutes", () => {
    expect(shape(rows([message(1, "a", 0), message(2, "a", 4), message(3, "a", 10), message(4, "b", 10), message(5, "a", 11)]))).toBe("bdMmMMM");
  });
  it("starts a group with a reply", () => {
    expect(shape(rows([message(1, "a", 0), message(2, "a", 1, { reply_to: "id1" }), message(3, "a", 1)]))).toBe("bdMMm");
  });
  it("separates days", () => {
    expect(shape(rows([message(1, "a", 0), message(2, "a", 24 * 60)]))).toBe("bdMdM");
  });
  it("draws the line before the first unread message from others", () => {
    expect(shape(rows([message(1, "a", 0), message(2, "me", 1), message(3, "a", 2), message(4, "a", 2)], 1))).toBe("bdMMnMm");
    expect(shape(rows([message(1, "a", 0), message(2, "me", 1)], 1))).toBe("bdMM");
  });
  it("keeps the key of a pending message when it becomes a message", () => {
    expect(rows([message(1, "me", 0), message(2, "a", 0)]).map((r) => r.key).slice(2)).toEqual(["k1", "id2"]);
  });
  it("adds a loading row if there are newer messages", () => {
    expect(shape(rows([message(1, "a", 0)], undefined, false))).toBe("bdMl");
  });
  it("gives every row a unique key", () => {
    const keys = rows(Array.from({ length: 500 }, (_, i) => message(i, i % 3 === 0 ? "me" : "a", i * 17)), 7).map((r) => r.key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe("dayLabel", () => {
  it("returns Today and Yesterday", () => {
    expect(dayLabel(at, at)).toBe("Today");
    expect(dayLabel(at - 86_400_000, at)).toBe("Yesterday");
    expect(dayLabel(at - 400 * 86_400_000, at)).toContain("2025");
  });
});

describe("identity", () => {
  it("has a color that is the same on every device", () => {
    expect(colorOf("0198f3b2-7c00-7a10-8000-0000000000a1")).toEqual(colorOf("0198f3b2-7c00-7a10-8000-0000000000a1"));
  });
  it("has different colors in a small channel", () => {
    let alike = 0;
    for (let channel = 0; channel < 1000; channel++) {
      const counts = new Map<string, number>();
      for (let member = 0; member < 14; member++) {
        const color = JSON.stringify(colorOf(`0198f3b2-7c00-7a10-8000-${String(channel * 7919 + member * 104729).padStart(12, "0")}`));
        counts.set(color, (counts.get(color) ?? 0) + 1);
      }
      alike += Math.max(...counts.values()) >= 4 ? 1 : 0;
    }
    expect(alike).toBeLessThan(30); // channels in which four of 14 members have the same color
  });
  it.each([["Ann Lee", "AL"], ["bob", "B"], ["mary-jane_watson", "MW"], ["", "?"], ["👍 up", "👍U"], ["Fatima (Zahra)", "FZ"], ["!", "?"]])("initials of %j", (name, want) => {
    expect(initialsOf(name)).toBe(want);
  });
});
