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
  const recounts: string[] = [];
  let changes = 0;
  const c = new UnreadCounts(() => changes++, (id) => recounts.push(id));
  const fromServer = (last_seq: number, last_read_seq: number, unread: number, unread_mentions = 0): void =>
    c.fromServer(ID, { last_seq, last_read_seq, unread, unread_mentions }, last_read_seq);
  return { c, fromServer, recounts, changes: () => changes };
}

describe("unread counts", () => {
  it("are the server's counts plus later messages, without own and deleted ones", () => {
    const { c, fromServer } = counts();
    fromServer(10, 5, 3, 1);
    c.event(message(10), ME); // already counted by the server
    c.event(message(11, "ann", [ME]), ME);
    c.event(message(12, "ann", [ID]), ME);
    c.event(message(13, ME), ME);
    c.event(message(14), ME);
    expect(c.of(ID)).toEqual({ unread: 6, mentions: 3 });
    c.event({ type: "delete", channel_id: ID, seq: 15, id: "d", message_id: "m12", sender_id: "ann", sent_at: "" }, ME);
    expect(c.of(ID)).toEqual({ unread: 5, mentions: 2 });
  });

  it("are requested from the server when part of what it counted was read", () => {
    const { c, fromServer, recounts } = counts();
    fromServer(10, 5, 3);
    c.event(message(11), ME);
    c.read(ID, 8);
    expect(recounts).toEqual([ID]);
    fromServer(11, 8, 2);
    expect(c.of(ID)).toEqual({ unread: 2, mentions: 0 });
    c.read(ID, 11);
    expect(c.of(ID)).toEqual({ unread: 0, mentions: 0 });
    expect(recounts).toEqual([ID]);
  });

  it("do not rise again because of an old count", () => {
    const { c } = counts();
    c.fromServer(ID, { last_seq: 10, last_read_seq: 5, unread: 3, unread_mentions: 0 }, 10);
    expect(c.of(ID).unread).toBe(0);
  });

  it("are at most 1000", () => {
    const { c, fromServer } = counts();
    fromServer(5000, 0, 1000);
    for (let i = 5001; i < 6500; i++) c.event(message(i), ME);
    expect(c.of(ID).unread).toBe(1000);
  });

  it("are correct after any sequence of reads and reconnections", () => {
    const { seed, random } = seeded();
    for (let round = 0; round < 300; round++) {
      const { c, fromServer } = counts();
      const log: { seq: number; mine: boolean }[] = [];
      let read = 0;
      const left = (): number => log.filter((m) => !m.mine && m.seq > read).length;
      fromServer(0, 0, 0);
      for (let seq = 1; seq <= 60; seq++) {
        const mine = random() < 0.2;
        log.push({ seq, mine });
        if (random() < 0.1) fromServer(seq, read, left());
        c.event(message(seq, mine ? ME : "ann"), ME);
        if (random() < 0.1) {
          const was = read;
          read = Math.max(read, Math.floor(random() * seq) + 1);
          c.read(ID, read);
          if (read > was && random() < 0.5) fromServer(seq, read, left());
        }
        if (random() < 0.05) c.read(ID, (read = seq));
      }
      fromServer(60, read, left());
      expect(c.of(ID).unread, `SEED=${seed}`).toBe(left());
      c.read(ID, 60);
      expect(c.of(ID).unread, `SEED=${seed}`).toBe(0);
    }
  });
});
