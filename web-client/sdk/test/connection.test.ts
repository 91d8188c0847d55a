import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ceiling, jitter, Wait } from "../src/backoff.js";
import { classify } from "../src/connector.js";
import { ApiError, ClientError, CloseError } from "../src/errors.js";
import type { Hello, ServerFrame } from "../src/frames.js";
import { Connection } from "../src/connection.js";
import { FakeSocket } from "./socket.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const hello = { type: "hello", heartbeat_seconds: 25, channels: [] };

function connect(token?: string) {
  const frames: ServerFrame[] = [];
  const greetings: Hello[] = [];
  const connection = new Connection(FakeSocket, "ws://x/ws", token, { greeted: (h) => greetings.push(h), frame: (f) => frames.push(f) });
  return { connection, socket: FakeSocket.last, frames, greetings };
}

describe("a connection", () => {
  it("offers the subprotocol, sends its token, and splits messages into frames", () => {
    const { connection, socket, frames, greetings } = connect("secret");
    expect(socket.protocols).toEqual(["parley.v1"]);
    socket.emit("open");
    expect(socket.sent).toEqual([{ type: "auth", token: "secret" }]);
    expect(connection.up).toBe(false);
    socket.frames(hello, { type: "typing" }, { type: "pong" });
    expect(greetings).toHaveLength(1);
    expect(frames.map((f) => f.type)).toEqual(["typing", "pong"]);
    expect(connection.up).toBe(true);
  });

  it("ends if hello does not arrive in time", async () => {
    const { connection, socket } = connect();
    await vi.advanceTimersByTimeAsync(20_000);
    await expect(connection.ended).resolves.toMatchObject({ greeted: false, error: { code: 1006 } });
    expect(socket.closed).toBe(true);
  });

  it("sends a ping when nothing arrives, and ends without an answer", async () => {
    const { connection, socket } = connect();
    let ended = false;
    void connection.ended.then(() => (ended = true));
    socket.frames(hello);
    for (let i = 0; i < 4; i++) {
      await vi.advanceTimersByTimeAsync(30_000);
      expect(socket.sent).toHaveLength(i + 1);
      socket.frames({ type: "pong" });
    }
    expect(ended).toBe(false);
    await vi.advanceTimersByTimeAsync(45_000);
    expect(ended).toBe(true);
    expect(connection.up).toBe(false);
  });

  it("sends no ping while frames arrive", async () => {
    const { socket } = connect();
    socket.frames(hello);
    for (let i = 0; i < 20; i++) {
      await vi.advanceTimersByTimeAsync(10_000);
      socket.frames({ type: "typing" });
    }
    expect(socket.sent).toEqual([]);
  });

  it.each([
    ["invalid JSON", "{"],
    ["a binary frame", new ArrayBuffer(1)],
    ["a frame before hello", '{"type":"ack"}'],
  ])("ends with %s", async (_, data) => {
    const { connection, socket } = connect();
    socket.emit("message", { data });
    await expect(connection.ended).resolves.toMatchObject({ greeted: false });
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
    expect(classify(error)).toEqual(verdict);
  });
});

describe("backoff", () => {
  it("grows from one second to half a minute, with full jitter", () => {
    expect([0, 1, 2, 3, 4, 5, 60].map(ceiling)).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    const waits = Array.from({ length: 1000 }, () => jitter(1000));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...waits)).toBeLessThan(1000);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(800); // full jitter: the whole range
  });

  it("can be ended early", async () => {
    const wait = new Wait();
    const slept = wait.sleep(30_000);
    wait.wake();
    await slept;
    expect(vi.getTimerCount()).toBe(0);
  });
});
