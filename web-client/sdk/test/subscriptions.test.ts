import { describe, expect, it } from "vitest";
import type { ChannelSummary, Hello, WireEvent } from "../src/frames.js";
import { Subscriptions, type Track } from "../src/subscriptions.js";
import { seeded } from "./random.js";

const ID = "c1";

interface Asked {
  readonly ref: string;
  readonly channels: readonly { channel_id: string; last_seen_seq: number; epoch: string }[];
}

function event(seq: number, channel = ID): WireEvent {
  return { type: "noop", channel_id: channel, seq, id: `e${seq}`, sent_at: "" };
}

function summary(channel_id: string, last_seq: number, kind: ChannelSummary["kind"] = "public"): ChannelSummary {
  return { channel_id, name: "", kind, last_seq, last_read_seq: 0, last_delivered_seq: 0, unread: 0, unread_mentions: 0, epoch: "a" };
}

function hello(...channels: ChannelSummary[]): Hello {
  return { type: "hello", channels } as unknown as Hello;
}

/** subscriptions returns Subscriptions for which the test acts as the server. */
function subscriptions(maxCatchUp = 10_000, positions = {}) {
  const sent: Asked[] = [];
  const seen: number[] = [];
  const news: string[] = [];
  const log: WireEvent[] = [];
  let pages = 0;
  const subs = new Subscriptions(positions, maxCatchUp, {
    send: (f) => sent.push(f as Asked),
    events: async (_, after) => {
      pages++;
      return log.filter((e) => e.seq > after - 3).slice(0, 200); // includes repeats
    },
    listed: () => {},
    joined: (t) => news.push(`joined ${t.id}`),
    left: (t, by, error) => news.push(`left ${t.id} ${by ?? error?.code ?? ""}`.trim()),
    reset: (t, from, lost) => {
      news.push(`reset ${from.seq}-${t.pos}${lost ? " lost" : ""}`);
      seen.length = 0;
      for (let i = 1; i <= t.pos; i++) seen.push(i);
    },
    event: (_: Track, e) => seen.push(e.seq),
    following: () => {},
    settled: () => {},
  });
  const answer = (last_seq: number, more: object = {}): void => {
    const asked = sent.at(-1)!;
    subs.subscribed({ type: "subscribed", ref: asked.ref, channel_id: ID, last_seq, epoch: "a", recovered: true, has_more: false, ...more });
  };
  return { subs, sent, seen, news, log, answer, pages: () => pages };
}

/** settle lets all resolved promises run their continuations. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe("subscriptions", () => {
  it("deliver each seq once and in order, whatever arrives repeatedly, late or early", () => {
    const { seed, random } = seeded();
    for (let round = 0; round < 200; round++) {
      const { subs, sent, seen, answer } = subscriptions(10_000, { [ID]: { seq: 0, epoch: "a" } });
      const last = 40;
      subs.greet(hello(summary(ID, 0)), false);
      while (subs.tracks.get(ID)!.pos < last) {
        const asked = sent.at(-1)!;
        const from = asked.channels[0]!.last_seen_seq;
        if (random() < 0.5) subs.handleEvent(event(from + 1)); // of the previous subscription
        answer(last);
        let next = from + 1;
        while (sent.at(-1) === asked && next <= last) {
          const chance = random();
          if (chance < 0.1) subs.handleEvent(event(Math.max(1, next - 3))); // a repeat
          else if (chance < 0.15) {
            subs.handleEvent(event(next + 2)); // a gap: the channel is subscribed to again
            expect(sent.at(-1), `SEED=${seed}`).not.toBe(asked);
          } else if (chance < 0.2) {
            subs.lost();
            subs.greet(hello(summary(ID, last)), true);
          } else subs.handleEvent(event(next++));
        }
      }
      expect(seen, `SEED=${seed}`).toEqual(Array.from({ length: last }, (_, i) => i + 1));
    }
  });

  it("fetch pages of what the socket does not replay, then continue on the socket", async () => {
    const { subs, sent, seen, log, answer, pages } = subscriptions(10_000, { [ID]: { seq: 0, epoch: "a" } });
    for (let i = 1; i <= 1500; i++) log.push(event(i));
    subs.greet(hello(summary(ID, 1500)), false);
    answer(1500, { has_more: true });
    subs.handleEvent(event(1501)); // dropped while pages are fetched; it arrives again
    await settle();
    expect(sent).toHaveLength(2);
    expect(sent[1]?.channels).toEqual([{ channel_id: ID, last_seen_seq: 1500, epoch: "a" }]);
    answer(1501);
    subs.handleEvent(event(1501));
    expect(seen).toEqual(Array.from({ length: 1501 }, (_, i) => i + 1));
    expect(pages()).toBe(8);
  });

  it("skip more than maxCatchUp events, and events that the server has lost", () => {
    const { subs, news, answer } = subscriptions(1000, { [ID]: { seq: 5, epoch: "a" } });
    subs.greet(hello(summary(ID, 2000)), false);
    answer(2000, { has_more: true });
    expect(news).toEqual([`joined ${ID}`, "reset 5-2000"]);
    subs.resync({ type: "resync", channel_id: ID, last_seq: 1990, epoch: "b" });
    expect(news.at(-1)).toBe("reset 2000-1990 lost");
    expect(subs.tracks.get(ID)).toMatchObject({ pos: 1990, epoch: "b", phase: "following" });
    subs.handleEvent(event(1991));
    expect(subs.tracks.get(ID)?.pos).toBe(1991);
  });

  it("leave a refused channel, and subscribe one by one when a frame for several channels is refused", () => {
    const { subs, sent, news } = subscriptions();
    subs.greet(hello(summary("a", 1), summary("b", 1), summary("c", 1)), false);
    const [all] = sent;
    const refuse = (ref: string, code: string, channel_id?: string): boolean =>
      subs.refused({ type: "error", ref, code, message: "", ...(channel_id ? { channel_id } : {}) });
    expect(refuse(all!.ref, "not_found", "b")).toBe(true);
    expect(news.at(-1)).toBe("left b not_found");
    expect([...subs.tracks.keys()]).toEqual(["a", "c"]);
    expect(refuse(all!.ref, "bad_frame")).toBe(true);
    expect(sent.slice(1).map((s) => s.channels.map((c) => c.channel_id))).toEqual([["a"], ["c"]]);
    refuse(sent[1]!.ref, "bad_frame");
    expect([...subs.tracks.keys()]).toEqual(["c"]);
    expect(refuse("another", "not_found")).toBe(false);
  });

  it("follow a new direct channel from its first message, and other channels from the newest", () => {
    const { subs, sent } = subscriptions();
    subs.greet(hello(), false);
    subs.list([summary("dm", 1, "direct"), summary("room", 7)], true);
    expect(sent[0]?.channels.map((c) => c.last_seen_seq)).toEqual([0, 7]);
  });

  it("leave channels that a complete list does not contain", () => {
    const { subs, news } = subscriptions(10_000, { gone: { seq: 3, epoch: "a" } });
    subs.greet(hello(summary(ID, 0)), false);
    expect(news).toEqual(["left gone", `joined ${ID}`]);
  });

  it("leave out channels beyond the connection's limit, and follow them on request", () => {
    const { subs, sent, news, seen } = subscriptions();
    const refuse = (id: string, code: string): boolean =>
      subs.refused({ type: "error", ref: sent.at(-1)!.ref, channel_id: id, code, message: "" } as never);
    subs.greet(hello(summary("a", 5), summary("b", 5), { ...summary("c", 5), not_followed: true }), false);
    expect(sent.map((f) => f.channels.map((c) => c.channel_id))).toEqual([["a", "b"]]);
    const ref = sent[0]!.ref;
    for (const id of ["a", "b"]) subs.subscribed({ type: "subscribed", ref, channel_id: id, last_seq: 5, epoch: "a", recovered: true, has_more: false });
    expect(subs.allCaughtUp).toBe(true);
    subs.tracks.get("a")!.lastActivity = 1; // the oldest activity
    subs.follow("c");
    expect(sent.at(-1)!.channels).toEqual([{ channel_id: "c", last_seen_seq: 5, epoch: "a" }]);
    expect(refuse("c", "rate_limited")).toBe(true);
    expect(sent.slice(-2)).toMatchObject([{ type: "unsubscribe", channel_id: "a" }, { type: "subscribe", channels: [{ channel_id: "c" }] }]);
    subs.subscribed({ type: "subscribed", ref: sent.at(-1)!.ref, channel_id: "c", last_seq: 5, epoch: "a", recovered: true, has_more: false });
    subs.handleEvent(event(6, "c"));
    expect(seen).toEqual([6]);
    expect([...subs.tracks.values()].filter((t) => t.leftOut).map((t) => t.id)).toEqual(["a"]);
    expect(news.filter((n) => n.startsWith("left"))).toEqual([]);
  });
});
