import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Outbound, WireEvent } from "../src/frames.js";
import { Outbox, type ChannelProgress } from "../src/outbox.js";
import { LocalStoragePendingStore, MemoryPendingStore, type PendingStore } from "../src/pending.js";
import { newClientID, type Send } from "../src/send.js";
import { seeded } from "./random.js";

const ME = "me";
const MINUTE = 60_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** outbox returns an outbox for which the test acts as the server. */
function outbox(store: PendingStore = new MemoryPendingStore(), maxPending = 1000) {
  const net = { up: true };
  const sent: (Outbound & { ref: string })[] = [];
  const statuses: [string, string][] = [];
  const channels = new Map<string, ChannelProgress>([["c", { since: 0, caughtUp: true, pos: 0 }]]);
  const box = new Outbox(store, maxPending, {
    up: () => net.up,
    send: (f) => sent.push(f as Outbound & { ref: string }),
    status: (s) => statuses.push([s.body, s.status]),
    channel: (id) => channels.get(id),
  });
  const say = (body: string, channel_id = "c"): Send => box.add({ type: "send", channel_id, client_id: newClientID(), body });
  let seq = 0;
  const ack = (s: Send): void => box.acked({ type: "ack", channel_id: s.channelID, client_id: s.clientID, id: `m${++seq}`, seq, sent_at: "" });
  const refuse = (s: Send, code: string, retry_after_ms?: number): boolean =>
    box.refused({ type: "error", ref: s.clientID, code, message: "no", ...(retry_after_ms ? { retry_after_ms } : {}) });
  const seen = (s: Send): void => box.seen({ type: "message", channel_id: s.channelID, client_id: s.clientID, id: "m", seq: 9, sent_at: "" } as WireEvent);
  const bodies = (): (string | undefined)[] => sent.map((f) => f.body);
  return { box, net, sent, statuses, channels, say, ack, refuse, seen, bodies };
}

describe("an outbox", () => {
  it("resends exactly what was not acknowledged, unchanged and in order", () => {
    const { box, sent, say, ack, refuse, bodies } = outbox();
    const [one, two, three] = ["one", "two", "three"].map((b) => say(b)) as [Send, Send, Send];
    ack(two);
    box.lost();
    expect(refuse(three, "forbidden")).toBe(false); // belongs to the lost connection
    box.pump();
    expect(bodies()).toEqual(["one", "two", "three", "one", "three"]);
    expect(sent[3]).toEqual(sent[0]);
    box.pump();
    expect(sent).toHaveLength(5);
    ack(one);
    ack(one); // already settled
    expect([one.status, two.status, three.status]).toEqual(["sent", "sent", "pending"]);
  });

  it("accepts the event as the acknowledgement, and shows a message until its event arrives", async () => {
    const { box, statuses, say, ack, seen } = outbox();
    const [one, two] = [say("one"), say("two")];
    seen(one);
    expect(box.of("c")).toEqual([two]);
    ack(one);
    await expect(one.settled).resolves.toMatchObject({ seq: 9 });
    ack(two);
    expect(box.of("c")).toEqual([two]); // its event has not arrived
    seen(two);
    expect(box.of("c")).toEqual([]);
    expect(statuses.map(([, status]) => status)).toEqual(["pending", "pending", "sent", "sent"]);
  });

  it("waits after a retryable refusal, for all channels after a rate limit, and fails on other errors", async () => {
    const { say, refuse, statuses, bodies } = outbox();
    const [one, other] = [say("one"), say("other", "d")];
    refuse(one, "unavailable", 500);
    say("two");
    say("else", "e");
    expect(bodies()).toEqual(["one", "other", "else"]); // two keeps its place behind one
    await vi.advanceTimersByTimeAsync(500);
    expect(bodies().slice(3)).toEqual(["one", "two"]);
    refuse(other, "rate_limited", 30_000);
    say("three");
    expect(bodies()).toHaveLength(5);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(bodies().slice(5)).toEqual(["other", "three"]);
    refuse(one, "forbidden");
    expect(statuses.at(-1)).toEqual(["one", "failed"]);
    await expect(one.settled).rejects.toMatchObject({ code: "forbidden" });
  });

  it("allows a failed message to be resent as a new one, or discarded", () => {
    const store = new MemoryPendingStore();
    const { box, say, refuse, sent } = outbox(store);
    void box.open(ME);
    vi.runAllTicks();
    const one = say("one");
    box.pump();
    return Promise.resolve().then(() => {
      refuse(one, "forbidden");
      expect(store.load(ME)).toMatchObject([{ body: "one", failed: { code: "forbidden" } }]);
      const again = one.retry();
      expect(again.clientID).not.toBe(one.clientID);
      expect(box.all()).toEqual([again]);
      expect(sent.at(-1)).toMatchObject({ client_id: again.clientID, body: "one" });
      refuse(again as Send, "forbidden");
      again.discard();
      expect(box.all()).toEqual([]);
      expect(store.load(ME)).toEqual([]);
    });
  });

  it("discards a send that was never transmitted, and no other", async () => {
    const store = new MemoryPendingStore();
    const { box, net, say, bodies, statuses } = outbox(store);
    await box.open(ME);
    const sent = say("sent");
    net.up = false;
    box.lost();
    const held = say("held");
    sent.discard();
    held.discard();
    expect([sent.transmitted, held.transmitted]).toEqual([true, false]);
    expect(box.all()).toEqual([sent]);
    expect(store.load(ME)).toMatchObject([{ body: "sent" }]);
    expect(statuses.at(-1)).toEqual(["held", "failed"]);
    await expect(held.settled).rejects.toMatchObject({ code: "discarded" });
    net.up = true;
    box.pump();
    expect(bodies()).toEqual(["sent", "sent"]);
  });

  it("keeps the invalid fields of a message that was refused, in the store as well", async () => {
    const store = new MemoryPendingStore();
    const errors = [{ field: "body", code: "blank", message: "must not be blank" }] as const;
    const first = outbox(store);
    await first.box.open(ME);
    const one = first.say(" ");
    first.box.refused({ type: "error", ref: one.clientID, code: "invalid_body", message: "no", errors });
    expect(one.error?.errors).toEqual(errors);
    const second = outbox(store);
    await second.box.open(ME);
    expect(second.box.all().map((s) => s.error?.errors)).toEqual([errors]);
  });

  it("does not resend what the server may have forgotten until the channel shows that it was not posted", () => {
    const { box, net, channels, say, sent } = outbox();
    const one = say("one");
    net.up = false;
    box.lost();
    vi.advanceTimersByTime(9 * MINUTE);
    net.up = true;
    channels.set("c", { since: 0, caughtUp: false, pos: 0 });
    say("two");
    expect(sent).toHaveLength(1); // two keeps its place behind one
    channels.set("c", { since: 0, caughtUp: true, pos: 0 });
    box.pump();
    expect(sent.map((f) => f.body)).toEqual(["one", "one", "two"]);
    box.lost();
    vi.advanceTimersByTime(9 * MINUTE);
    channels.set("c", { since: Date.now(), caughtUp: true, pos: 0 }); // events were skipped
    box.pump();
    expect(one).toMatchObject({ status: "failed", error: { code: "unknown" } });
    expect(sent).toHaveLength(3);
  });

  it("stays below the rate limit", () => {
    const { box, say, sent } = outbox();
    box.limits = { max_body_bytes: 1, rate_messages: 5, rate_seconds: 10, rate_block_seconds: 30 };
    for (let i = 0; i < 12; i++) say(`${i}`);
    expect(sent).toHaveLength(5);
    vi.advanceTimersByTime(10_000);
    expect(sent).toHaveLength(5);
    vi.advanceTimersByTime(100);
    expect(sent).toHaveLength(10);
    vi.advanceTimersByTime(10_100);
    expect(sent).toHaveLength(12);
  });

  it("has at most 32 sends in flight", () => {
    const { say, ack, sent } = outbox();
    const sends = Array.from({ length: 50 }, (_, i) => say(`${i}`));
    expect(sent).toHaveLength(32);
    ack(sends[0]!);
    expect(sent).toHaveLength(33);
  });

  it("refuses sends when it is full or closed", async () => {
    const { box, net, say } = outbox(undefined, 1);
    net.up = false;
    const one = say("one");
    await expect(say("two").settled).rejects.toMatchObject({ code: "full" });
    box.close();
    await expect(one.settled).rejects.toMatchObject({ code: "closed" });
    await expect(say("three").settled).rejects.toMatchObject({ code: "closed" });
  });

  it("shows a message as failed if it was acknowledged but not stored", () => {
    const { box, say, ack } = outbox();
    const one = say("one");
    ack(one);
    box.advancedTo("c", 1); // the tombstone with its seq
    expect(box.all()).toEqual([]);
    box.notStored({ type: "failed", channel_id: "c", client_id: one.clientID, id: "m1", seq: 1, reason: "why" }, one);
    expect(one).toMatchObject({ status: "failed", error: { code: "not_stored" } });
    expect(box.all()).toEqual([one]);
  });

  it("settles and posts each send exactly once, whatever is lost", () => {
    const { seed, random } = seeded();
    const { box, sent, say, statuses } = outbox();
    // The simulated server posts a client_id once, and its answers may be lost.
    const done = new Map<string, number>();
    const all = Array.from({ length: 80 }, (_, i) => say(`${i}`));
    for (let at = 0, rounds = 0; box.all().some((s) => s.status === "pending") && rounds < 10_000; rounds++) {
      if (at >= sent.length || random() < 0.05) {
        box.lost();
        at = sent.length;
        box.pump();
        continue;
      }
      const f = sent[at++]!;
      if (random() < 0.3) {
        box.lost(); // the frame is lost
        at = sent.length;
        box.pump();
        continue;
      }
      if (!done.has(f.client_id)) done.set(f.client_id, done.size + 1);
      if (random() < 0.3) continue; // the answer is lost
      box.acked({ type: "ack", channel_id: "c", client_id: f.client_id, id: "m", seq: done.get(f.client_id)!, sent_at: "" });
    }
    expect(done.size, `SEED=${seed}`).toBe(all.length);
    expect(all.every((s) => s.status === "sent" && s.seq === done.get(s.clientID)), `SEED=${seed}`).toBe(true);
    expect(statuses.filter(([, status]) => status === "sent"), `SEED=${seed}`).toHaveLength(all.length);
  });
});

/** FakeStorage implements the part of localStorage that the store uses. */
class FakeStorage {
  private readonly items = new Map<string, string>();
  get length(): number {
    return this.items.size;
  }
  key(i: number): string | null {
    return [...this.items.keys()][i] ?? null;
  }
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
}

describe("a reloaded page", () => {
  it("sends this user's saved messages, and only those, in order", async () => {
    const storage = new FakeStorage() as unknown as Storage;
    storage.setItem(`parley.pending:${ME}:broken`, "{");
    const first = outbox(new LocalStoragePendingStore(undefined, storage));
    first.net.up = false;
    first.say("before it was known who we are");
    await first.box.open(ME);
    first.say("one");
    first.say("two");
    first.box.close();
    const other = outbox(new LocalStoragePendingStore(undefined, storage));
    await other.box.open("another");
    expect(other.sent).toEqual([]);
    const second = outbox(new LocalStoragePendingStore(undefined, storage));
    second.say("new");
    await second.box.open(ME);
    expect(second.bodies()).toEqual(["new", "before it was known who we are", "one", "two"]);
    for (const s of second.box.all()) second.ack(s as Send);
    expect(new LocalStoragePendingStore(undefined, storage).load(ME)).toEqual([]);
  });
});
