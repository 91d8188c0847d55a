import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Client, type ClientConfig } from "../src/index.js";
import { FakeSocket } from "./socket.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const summary = (channel_id: string, kind = "public", last_seq = 5, last_delivered_seq = 2): object => ({
  channel_id,
  name: "",
  kind,
  last_seq,
  last_read_seq: 0,
  last_delivered_seq,
  unread: 0,
  unread_mentions: 0,
  epoch: "a",
});
const hello = (channels: object[], user_id = "me"): object => ({
  type: "hello",
  user_id,
  session_id: "s",
  heartbeat_seconds: 25,
  limits: { rate_messages: 0 },
  channels,
});

/** connecting returns a client that has opened its first socket. The test acts as the server. */
async function connecting(config: ClientConfig = {}) {
  const client = new Client({ url: "http://x", WebSocket: FakeSocket, auth: { accessToken: "t" }, ...config });
  const states: string[] = [];
  client.on("state", (s) => states.push(s.name === "ended" ? `ended ${s.reason}` : s.name));
  client.connect();
  await vi.advanceTimersByTimeAsync(0);
  return { client, states, socket: FakeSocket.last };
}

/** asked returns the channels and positions that the client subscribed to on the socket. */
function asked(socket: FakeSocket): [string, number][] {
  return socket.sent
    .filter((f) => f.type === "subscribe")
    .flatMap((f) => f["channels"] as { channel_id: string; last_seen_seq: number }[])
    .map((c) => [c.channel_id, c.last_seen_seq]);
}

describe("a client", () => {
  it("follows 500 channels from their positions, including those listed in hello_more", async () => {
    const { client, socket } = await connecting();
    expect(socket.url).toBe("ws://x/ws?subscribe=none");
    const ids = Array.from({ length: 500 }, (_, i) => `c${i}`);
    const summaries = ids.map((id, i) => summary(id, i % 2 === 0 ? "public" : "direct"));
    socket.frames(hello(summaries.slice(0, 200)));
    socket.frames({ type: "hello_more", channels: summaries.slice(200) });
    expect(asked(socket)).toEqual(ids.map((id) => [id, 5]));
    expect(client.state.name).toBe("catching-up");
    for (const f of socket.sent.filter((s) => s.type === "subscribe")) {
      for (const { channel_id } of f["channels"] as { channel_id: string }[]) {
        socket.frames({ type: "subscribed", ref: f["ref"], channel_id, last_seq: 5, epoch: "a", recovered: true, has_more: false });
      }
    }
    expect(client.state.name).toBe("up-to-date");
    expect(client.channels()).toHaveLength(500);
    client.close();
  });

  it("reports what was received as delivered, merging reports", async () => {
    const { client, socket } = await connecting();
    socket.frames(hello([summary("c")]));
    await vi.advanceTimersByTimeAsync(200);
    expect(socket.sent.at(-1)).toEqual({ type: "delivered", channel_id: "c", seq: 5 });
    const ref = socket.sent.find((f) => f.type === "subscribe")?.["ref"];
    socket.frames({ type: "subscribed", ref, channel_id: "c", last_seq: 5, epoch: "a", recovered: true, has_more: false });
    const before = socket.sent.length;
    for (let seq = 6; seq <= 50; seq++) socket.frames({ type: "noop", channel_id: "c", seq, id: "e", sent_at: "" });
    client.channel("c").markRead(40);
    await vi.advanceTimersByTimeAsync(1000);
    expect(socket.sent.slice(before)).toEqual([
      { type: "delivered", channel_id: "c", seq: 50 },
      { type: "read", channel_id: "c", seq: 40 },
    ]);
    client.channel("c").markRead(50); // read implies delivered
    await vi.advanceTimersByTimeAsync(1000);
    expect(socket.sent.slice(before + 2)).toEqual([{ type: "read", channel_id: "c", seq: 50 }]);
    client.close();
    const quiet = await connecting({ autoDelivered: false });
    quiet.socket.frames(hello([summary("c")]));
    await vi.advanceTimersByTimeAsync(1000);
    expect(quiet.socket.sent.filter((f) => f.type === "delivered")).toEqual([]);
    quiet.client.close();
  });

  it("accepts its own event as the acknowledgement, and removes the message from pending before it emits the event", async () => {
    const { client, socket } = await connecting();
    socket.frames(hello([summary("c")]));
    const ref = socket.sent.find((f) => f.type === "subscribe")?.["ref"];
    socket.frames({ type: "subscribed", ref, channel_id: "c", last_seq: 5, epoch: "a", recovered: true, has_more: false });
    await vi.advanceTimersByTimeAsync(0);
    const said = client.channel("c").send("hello");
    const shown: number[] = [];
    client.on("event", (e) => shown.push(client.channel("c").pending.length + (e.mine ? 0 : 10)));
    const { clientID } = said;
    socket.frames({ type: "message", channel_id: "c", seq: 6, id: "m", client_id: clientID, sender_id: "me", body: "hello", mentions: [], sent_at: "" });
    await expect(said.settled).resolves.toMatchObject({ seq: 6, id: "m" });
    expect(shown).toEqual([0]);
    expect(client.channel("c").position).toEqual({ seq: 6, epoch: "a" });
    client.close();
  });

  it("reports what was read while disconnected", async () => {
    const { client, socket } = await connecting();
    socket.frames(hello([summary("c")]));
    socket.emit("close", { code: 1012, reason: '{"reconnect_after_ms":1000}' });
    client.channel("c").markRead(5);
    await vi.advanceTimersByTimeAsync(1000);
    const next = FakeSocket.last;
    expect(next).not.toBe(socket);
    next.frames(hello([summary("c", "public", 5, 5)]));
    await vi.advanceTimersByTimeAsync(200);
    expect(next.sent.at(-1)).toEqual({ type: "read", channel_id: "c", seq: 5 });
    client.close();
  });

  it("rotates through the gateways and waits as long as the server asks", async () => {
    const { client, states, socket } = await connecting({ sockets: ["ws://one/ws", "ws://two/ws?x=1"] });
    socket.frames(hello([]));
    socket.emit("close", { code: 1012, reason: '{"reconnect_after_ms":1500}' });
    await vi.advanceTimersByTimeAsync(1499);
    expect(FakeSocket.last).toBe(socket);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.last.url).toBe("ws://two/ws?x=1&subscribe=none");
    expect(states).toEqual(["connecting", "catching-up", "up-to-date", "reconnecting", "connecting"]);
    client.close();
    expect(states.at(-1)).toBe("ended closed");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("sends a new token before the old one expires, and retries a failed renewal", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    let refreshes = 0;
    const fetch = (async () => {
      if (++refreshes === 1) return new Response("", { status: 503 });
      return Response.json({ access_token: `t${refreshes}`, refresh_token: "r", expires_in: 900 });
    }) as typeof globalThis.fetch;
    const auth = { accessToken: "t", expires: Date.now() + 90_000, refreshToken: "r" };
    const { client, socket } = await connecting({ auth, fetch });
    const tokens = (): unknown[] => socket.sent.filter((f) => f.type === "auth").map((f) => f["token"]);
    const pongs = setInterval(() => socket.frames({ type: "pong" }), 5_000);
    socket.emit("open");
    socket.frames(hello([]));
    await vi.advanceTimersByTimeAsync(59_999);
    expect(refreshes).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect([refreshes, tokens()]).toEqual([1, ["t"]]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(tokens()).toEqual(["t", "t2"]);
    await vi.advanceTimersByTimeAsync(840_000);
    expect(tokens()).toEqual(["t", "t2", "t3"]);
    expect(client.state.name).toBe("up-to-date");
    clearInterval(pongs);
    client.close();
    vi.restoreAllMocks();
  });

  it("requests the receipts that it missed", async () => {
    const asked: string[] = [];
    const fetch = (async (url: string) => {
      asked.push(new URL(url).pathname);
      return Response.json({ message_id: "m", seq: 6, member_count: 1, delivered_count: 1, read_count: 1, items: [], next_cursor: null });
    }) as typeof globalThis.fetch;
    const { client, socket } = await connecting({ fetch });
    socket.frames(hello([summary("c")]));
    await vi.advanceTimersByTimeAsync(0);
    const said = client.channel("c").send("hello");
    socket.frames({ type: "ack", channel_id: "c", client_id: said.clientID, id: "m", seq: 6, sent_at: "" });
    expect(said.status).toBe("sent");
    socket.emit("close", { code: 1012, reason: '{"reconnect_after_ms":1}' });
    await vi.advanceTimersByTimeAsync(1);
    FakeSocket.last.frames(hello([summary("c")]));
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual(["/v1/channels/c/messages/m/receipts"]);
    expect(said.status).toBe("read");
    client.close();
  });

  it("is not used for another user", async () => {
    const { client, states, socket } = await connecting({ userID: "me" });
    const mine = client.channel("c").send("mine");
    socket.frames(hello([summary("c")], "another"));
    expect(states.at(-1)).toBe("ended other-user");
    expect(socket.sent.filter((f) => f.type === "send")).toEqual([]);
    await expect(mine.settled).rejects.toMatchObject({ code: "closed" });
  });

  it("continues after a listener throws, and reports the error", async () => {
    const { client, socket } = await connecting();
    const reported: unknown[] = [];
    vi.stubGlobal("queueMicrotask", (report: () => void) => {
      try {
        report();
      } catch (error) {
        reported.push(error);
      }
    });
    client.on("joined", () => {
      throw new Error("a mistake of the page");
    });
    const names: string[] = [];
    const off = client.on("joined", ({ channel }) => names.push(channel.id));
    socket.frames(hello([summary("c")]));
    off();
    socket.frames({ type: "membership", channel_id: "d", change: "added", by: "x", channel: summary("d") });
    vi.unstubAllGlobals();
    expect(names).toEqual(["c"]);
    expect(reported).toHaveLength(2);
    expect(reported[0]).toMatchObject({ message: "a mistake of the page" });
    client.close();
  });

  it("requires a URL", () => {
    expect(() => new Client({ url: "localhost:8080", WebSocket: FakeSocket })).toThrow(TypeError);
  });
});
