// @vitest-environment happy-dom
import { ApiError, type Channel, type ChannelEvent, type Message } from "@parley/client";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { ChannelState } from "./channel-state";
import { channels } from "./channels";
import { connection, startedOffline } from "./connection";
import { failedRead, fold, followedFrom, openAround, openNewest, readOlder, reloadAfter } from "./history";
import { beginVisit, sawMessages } from "./reading";

/** Asked is a request to a simulated server, which responds when the test tells it to. */
interface Asked {
  readonly query: Record<string, number>;
  answer(messages: readonly Message[]): void;
  fail(error?: Error): void;
}
const asked: Asked[] = [];

const forbidden = new ApiError(403, "forbidden", "not a member");

const copies = vi.hoisted(() => new Map<string, unknown>());
vi.mock("./offline-store", () => ({ copiedChannel: (id: string) => copies.get(id), forgetCopiedChannel: () => undefined }));
vi.mock("./client", () => ({
  sdk: () => ({
    rest: {
      listMessages: (_: string, query: Record<string, number>) =>
        new Promise<{ items: readonly Message[] }>((resolve, reject) => {
          asked.push({ query, answer: (items) => resolve({ items }), fail: (error = new Error("refused")) => reject(error) });
        }),
      getChannel: () => Promise.reject(forbidden),
      getProfiles: () => Promise.resolve({ items: [] }),
    },
  }),
}));

const message = (seq: number, body = `m${seq}`): Message => ({
  id: `id${seq}`, channel_id: "c", seq, client_id: null, sender_id: "bob", sender_name: "bob", body, mentions: [], reply_to: null,
  sent_at: "2026-01-02T03:04:05.006Z", edited_at: null, deleted_at: null, reactions: [],
});
const posted = (seq: number): ChannelEvent => ({ ...message(seq), mentions: [], type: "message", epoch: "1-a", mine: false });
const edited = (seq: number, of: number, body: string): ChannelEvent =>
  ({ type: "edit", channel_id: "c", seq, id: `e${seq}`, sender_id: "bob", message_id: `id${of}`, body, sent_at: "2026-01-02T03:05:05.006Z", epoch: "1-a", mine: false });
const page = (from: number, to: number): Message[] => Array.from({ length: to - from + 1 }, (_, i) => message(from + i));

let state: ChannelState;
const seqs = (): number[] => state.log.value?.messages.map((m) => m.seq) ?? [];
const last = (): Asked => {
  const found = asked.at(-1);
  if (found === undefined) {
    throw new Error("nothing was asked for");
  }
  return found;
};

beforeEach(() => {
  asked.length = 0;
  copies.clear();
  connection.value = { name: "up-to-date" };
  startedOffline.value = false;
  const handle = { id: "c", followed: true, readSeq: 0, askReached: () => Promise.resolve() } as unknown as Channel;
  state = new ChannelState(handle);
});

describe("a channel that the user has lost", () => {
  it("is removed when its history is refused, even if no event said so", async () => {
    channels.value = new Map([["c", state]]);
    const open = openNewest(state);
    last().fail(forbidden);
    await open;
    await vi.waitFor(() => expect(channels.value.size).toBe(0));
  });
});

describe("a page that is being read", () => {
  it("is followed by the events that arrived during the read, whether it contains them or not", async () => {
    const open = openNewest(state);
    fold(state, posted(3));
    fold(state, edited(4, 2, "edited"));
    fold(state, posted(5));
    last().answer([message(1), message(2), message(3)]);
    await open;
    expect(seqs()).toEqual([1, 2, 3, 5]);
    expect(state.log.value?.messages[1]?.body).toBe("edited");
  });

  it("is discarded when another position is requested", async () => {
    const first = openNewest(state);
    const newest = last();
    const second = openAround(state, 7);
    last().answer(page(5, 9));
    await second;
    newest.answer(page(100, 110));
    await first;
    expect(seqs()).toEqual([5, 6, 7, 8, 9]);
  });
});

describe("reading further pages", () => {
  it("reads older messages, one page at a time, to the beginning", async () => {
    const open = openNewest(state);
    last().answer(page(41, 100));
    await open;
    const older = readOlder(state);
    await readOlder(state);
    expect(asked).toHaveLength(2);
    expect(last().query).toMatchObject({ before_seq: 41 });
    last().answer(page(1, 40));
    await older;
    expect(seqs()[0]).toBe(1);
    expect(state.log.value).toMatchObject({ atOldest: true, atNewest: true });
    await readOlder(state);
    expect(asked).toHaveLength(2);
  });

  it("waits after a failure", async () => {
    const open = openNewest(state);
    last().answer(page(41, 100));
    await open;
    const older = readOlder(state);
    last().fail();
    await older;
    await readOlder(state);
    expect(asked).toHaveLength(2);
  });
});

describe("a failed read", () => {
  it("of a new channel can be repeated", async () => {
    const open = openNewest(state);
    last().fail();
    await open;
    expect(state.log.value).toBeUndefined();
    const again = failedRead(state)?.retry();
    expect(asked).toHaveLength(2);
    expect(failedRead(state)).toBeUndefined();
    last().answer(page(1, 5));
    await again;
    expect(seqs()).toEqual([1, 2, 3, 4, 5]);
  });

  it("after a reconnection does not leave a gap", async () => {
    const open = openNewest(state);
    last().answer(page(1, 10));
    await open;
    followedFrom(state, 12);
    last().fail();
    await vi.waitFor(() => expect(failedRead(state)).toBeDefined(), { timeout: 120_000 });
    const reopened = openNewest(state);
    last().answer(page(1, 12));
    await reopened;
    expect(seqs().at(-1)).toBe(12);
  });
});

describe("gaps", () => {
  it("are read when the channel is followed from a later seq than the log's last", async () => {
    const open = openNewest(state);
    last().answer(page(1, 10));
    await open;
    followedFrom(state, 10);
    expect(asked).toHaveLength(1);
    followedFrom(state, 12);
    expect(asked).toHaveLength(2);
  });

  it("after a reset are read again", async () => {
    const open = openNewest(state);
    last().answer(page(1, 10));
    await open;
    reloadAfter(state, 7);
    expect(seqs().at(-1)).toBe(7);
    last().answer([...page(1, 7), message(8, "another eight")]);
    await vi.waitFor(() => expect(state.log.value?.messages.at(-1)?.body).toBe("another eight"), { timeout: 120_000 });
  });

  it("are not filled in a channel that is not open", () => {
    fold(state, posted(1));
    reloadAfter(state, 1);
    followedFrom(state, 5);
    expect(asked).toHaveLength(0);
  });
});

describe("the offline copy", () => {
  beforeEach(() => {
    copies.set("c", { messages: page(1, 3), atOldest: false, through: 3, people: [] });
  });

  it("is shown instead of a request while the server is unreachable, and replaced afterwards", async () => {
    connection.value = { name: "reconnecting", retryAt: 1, attempt: 1 };
    await openNewest(state);
    await openAround(state, 2);
    await readOlder(state);
    expect(asked).toHaveLength(0);
    expect(seqs()).toEqual([1, 2, 3]);
    expect(state.log.value?.fromCopy).toBe(true);
    connection.value = { name: "up-to-date" };
    const again = failedRead(state)?.retry();
    fold(state, edited(6, 5, "edited"));
    last().answer([message(1), message(4), message(5)]); // 2 and 3 have been deleted for good
    await again;
    expect(seqs()).toEqual([1, 4, 5]);
    expect(state.log.value?.messages.at(-1)?.body).toBe("edited");
    expect(state.log.value?.fromCopy).toBeUndefined();
  });

  it("is replaced when the channel is followed, even if no event was missed", async () => {
    startedOffline.value = true;
    await openNewest(state);
    startedOffline.value = false;
    followedFrom(state, 0);
    expect(asked).toHaveLength(1);
  });

  it("is replaced by the messages around the one that a link names", async () => {
    startedOffline.value = true;
    await openAround(state, 7);
    startedOffline.value = false;
    followedFrom(state, 9);
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    expect(last().query).toMatchObject({ around: 7 });
  });

  it("is not shown while the server can be reached, or instead of what was read", async () => {
    const open = openNewest(state);
    expect(state.log.value).toBeUndefined();
    last().answer(page(1, 9));
    await open;
    startedOffline.value = true;
    const reopened = openNewest(state, true);
    expect(asked).toHaveLength(2);
    expect(seqs()).toHaveLength(9);
    last().fail();
    await reopened;
  });

  it("marks nothing as read", async () => {
    const markRead = vi.fn();
    state = new ChannelState({ id: "c", followed: true, readSeq: 0, position: { seq: 9, epoch: "1-a" }, markRead } as unknown as Channel);
    startedOffline.value = true;
    copies.set("c", { messages: page(1, 3), atOldest: true, through: 3, people: [] });
    await openNewest(state);
    beginVisit(state);
    sawMessages(state, [1, 2, 3]);
    expect(markRead).not.toHaveBeenCalled();
  });
});
