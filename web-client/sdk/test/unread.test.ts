import { describe, expect, it } from "vitest";
import type { WireEvent } from "../src/frames.js";
import { UnreadCounts } from "../src/unread.js";
import { seeded } from "./random.js";

const ME = "me";
const ID = "c";

function message(seq: number, sender_id = "ann", mentions: string[] = []): WireEvent {
  return { type: "message", channel_id: ID, seq, id: `m${seq}`, sender_id, sender_name: "", body: "", mentions, reply_to: null, sent_at: "" };
}

function counts() {
  const unsure: string[] = [];
  let changes = 0;
  const c = new UnreadCounts(() => changes++, (id) => unsure.push(id));
  const told = (last_seq: number, last_read_seq: number, unread: number, unread_mentions = 0): void =>
    c.told(ID, { last_seq, last_read_seq, unread, unread_mentions }, last_read_seq);
  return { c, told, unsure, changes: () => changes };
}

describe("what is unread", () => {
  it("is what the server has counted and what came since, without one's own and the deleted", () => {
    const { c, told } = counts();
    told(10, 5, 3, 1);
    c.event(message(10), ME); // counted
    c.event(message(11, "ann", [ME]), ME);
    c.event(message(12, "ann", [ID]), ME);
    c.event(message(13, ME), ME);
    c.event(message(14), ME);
    expect(c.of(ID)).toEqual({ unread: 6, mentions: 3 });
    c.event({ type: "delete", channel_id: ID, seq: 15, id: "d", message_id: "m12", sender_id: "ann", sent_at: "" }, ME);
    expect(c.of(ID)).toEqual({ unread: 5, mentions: 2 });
  });

  it("is asked of the server when part of what it has counted was read", () => {
    const { c, told, unsure } = counts();
    told(10, 5, 3);
    c.event(message(11), ME);
    c.read(ID, 8);
    expect(unsure).toEqual([ID]);
    told(11, 8, 2);
    expect(c.of(ID)).toEqual({ unread: 2, mentions: 0 });
    c.read(ID, 11);
    expect(c.of(ID)).toEqual({ unread: 0, mentions: 0 });
    expect(unsure).toEqual([ID]);
  });

  it("does not come back with an old count", () => {
    const { c } = counts();
    c.told(ID, { last_seq: 10, last_read_seq: 5, unread: 3, unread_mentions: 0 }, 10);
    expect(c.of(ID).unread).toBe(0);
  });

  it("is bounded", () => {
    const { c, told } = counts();
    told(5000, 0, 1000);
    for (let i = 5001; i < 6500; i++) c.event(message(i), ME);
    expect(c.of(ID).unread).toBe(1000);
  });

  it("is what is left, wherever one reads and reconnects", () => {
    const { seed, random } = seeded();
    for (let round = 0; round < 300; round++) {
      const { c, told } = counts();
      const log: { seq: number; mine: boolean }[] = [];
      let read = 0;
      const left = (): number => log.filter((m) => !m.mine && m.seq > read).length;
      told(0, 0, 0);
      for (let seq = 1; seq <= 60; seq++) {
        const mine = random() < 0.2;
        log.push({ seq, mine });
        if (random() < 0.1) told(seq, read, left());
        c.event(message(seq, mine ? ME : "ann"), ME);
        if (random() < 0.1) {
          const was = read;
          read = Math.max(read, Math.floor(random() * seq) + 1);
          c.read(ID, read);
          if (read > was && random() < 0.5) told(seq, read, left());
        }
        if (random() < 0.05) c.read(ID, (read = seq));
      }
      told(60, read, left());
      expect(c.of(ID).unread, `SEED=${seed}`).toBe(left());
      c.read(ID, 60);
      expect(c.of(ID).unread, `SEED=${seed}`).toBe(0);
    }
  });
});
