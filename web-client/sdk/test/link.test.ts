import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ceiling, jitter, Wait } from "../src/backoff.js";
import { judge } from "../src/connection.js";
import { ApiError, ClientError, CloseError } from "../src/errors.js";
import type { Hello, ServerFrame } from "../src/frames.js";
import { Link } from "../src/link.js";
import { FakeSocket } from "./socket.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const hello = { type: "hello", heartbeat_seconds: 25, channels: [] };

function link(token?: string) {
  const frames: ServerFrame[] = [];
  const greetings: Hello[] = [];
  const l = new Link(FakeSocket, "ws://x/ws", token, { greeted: (h) => greetings.push(h), frame: (f) => frames.push(f) });
  return { l, socket: FakeSocket.last, frames, greetings };
}

describe("a link", () => {
  it("offers the protocol, proves who it is, and splits what it gets", () => {
    const { l, socket, frames, greetings } = link("secret");
    expect(socket.protocols).toEqual(["parley.v1"]);
    socket.tell("open");
    expect(socket.sent).toEqual([{ type: "auth", token: "secret" }]);
    expect(l.up).toBe(false);
    socket.frames(hello, { type: "typing" }, { type: "pong" });
    expect(greetings).toHaveLength(1);
    expect(frames.map((f) => f.type)).toEqual(["typing", "pong"]);
    expect(l.up).toBe(true);
  });

  it("ends when it is not greeted in time", async () => {
    const { l, socket } = link();
    await vi.advanceTimersByTimeAsync(20_000);
    await expect(l.ended).resolves.toMatchObject({ greeted: false, error: { code: 1006 } });
    expect(socket.closed).toBe(true);
  });

  it("asks when it hears nothing, and ends without an answer", async () => {
    const { l, socket } = link();
    let ended = false;
    void l.ended.then(() => (ended = true));
    socket.frames(hello);
    for (let i = 0; i < 4; i++) {
      await vi.advanceTimersByTimeAsync(30_000);
      expect(socket.sent).toHaveLength(i + 1);
      socket.frames({ type: "pong" });
    }
    expect(ended).toBe(false);
    await vi.advanceTimersByTimeAsync(45_000);
    expect(ended).toBe(true);
    expect(l.up).toBe(false);
  });

  it("does not ask while frames come", async () => {
    const { socket } = link();
    socket.frames(hello);
    for (let i = 0; i < 20; i++) {
      await vi.advanceTimersByTimeAsync(10_000);
      socket.frames({ type: "typing" });
    }
    expect(socket.sent).toEqual([]);
  });

  it.each([
    ["no JSON", "{"],
    ["a binary frame", new ArrayBuffer(1)],
    ["something before the greeting", '{"type":"ack"}'],
  ])("ends with %s", async (_, data) => {
    const { l, socket } = link();
    socket.tell("message", { data });
    await expect(l.ended).resolves.toMatchObject({ greeted: false });
  });
});

describe("the end of a connection", () => {
  const closed = (code: number, reason = ""): CloseError => new CloseError(code, reason);
  it.each([
    [closed(1006), { after: 0 }],
    [closed(1012, '{"reconnect_after_ms":1500}'), { after: 1500 }],
    [closed(1012, '{"reconnect_after_ms":1e12}'), { after: 60_000 }],
    [closed(1001), { after: 0 }],
    [closed(4000, "no JSON"), { after: 0 }],
    [closed(4001), { token: true, after: 0 }],
    [closed(4008), { after: 0 }],
    [closed(4010), { after: 0 }],
    [closed(4029), { after: 0 }],
    [closed(4501), { token: true, final: "unauthenticated", after: 0 }],
    [closed(4503), { final: "refused", after: 0 }],
    [closed(4509), { final: "session-revoked", after: 0 }],
    [closed(1007), { final: "refused", after: 0 }],
    [closed(1008), { final: "refused", after: 0 }],
    [closed(1009), { final: "refused", after: 0 }],
    [new ApiError(401, "unauthenticated", ""), { final: "unauthenticated", after: 0 }],
    [new ApiError(503, "unavailable", "", [], 700), { after: 700 }],
    [new ClientError("offline", ""), { after: 0 }],
    [new TypeError("fetch failed"), { after: 0 }],
  ])("%s", (error, verdict) => {
    expect(judge(error)).toEqual(verdict);
  });
});

describe("waiting", () => {
  it("grows from a second to half a minute, at random", () => {
    expect([0, 1, 2, 3, 4, 5, 60].map(ceiling)).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    const waits = Array.from({ length: 1000 }, () => jitter(1000));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...waits)).toBeLessThan(1000);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(800); // full jitter: the whole range
  });

  it("can be cut short", async () => {
    const wait = new Wait();
    const slept = wait.sleep(30_000);
    wait.wake();
    await slept;
    expect(vi.getTimerCount()).toBe(0);
  });
});
