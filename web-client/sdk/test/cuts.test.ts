import { afterEach, describe, expect, inject, it, vi } from "vitest";
import { Client, MemoryPendingStore, type ChannelEvent, type Reset } from "../src/index.js";
import { bodies, collect, NodeWebSocket, person, until } from "./people.js";
import { Proxy } from "./proxy.js";
import { seeded } from "./random.js";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** apart returns two users in a channel, each connected through a proxy of its own. */
async function apart() {
  const proxies = await Promise.all([Proxy.before(inject("server")), Proxy.before(inject("server"))]);
  const [ann, bob] = await Promise.all([person({ url: proxies[0]!.url }), person({ url: proxies[1]!.url })]);
  closing.push(() => proxies[0]!.close(), () => proxies[1]!.close(), () => ann.client.close(), () => bob.client.close());
  const { id } = await ann.client.rest.createChannel({ name: `cuts ${ann.name}`, kind: "unlisted" });
  await bob.client.rest.joinChannel(id);
  for (const { client } of [ann, bob]) client.connect();
  await Promise.all([ann.client.upToDate(), bob.client.upToDate()]);
  return { ann, bob, id, proxies: proxies as [Proxy, Proxy] };
}

/** whole reports whether the events have consecutive seqs. */
function whole(events: readonly ChannelEvent[]): boolean {
  return events.every((e, i) => i === 0 || e.seq === events[i - 1]!.seq + 1);
}

/**
 * page simulates a browser page whose network events the test can fire. It applies to clients that
 * are created later.
 */
function page(): { window: EventTarget; navigator: { onLine: boolean } } {
  const window = new EventTarget();
  const navigator = { onLine: true };
  vi.stubGlobal("window", window);
  vi.stubGlobal("navigator", navigator);
  vi.stubGlobal("document", Object.assign(new EventTarget(), { visibilityState: "visible" }));
  closing.push(() => vi.unstubAllGlobals());
  return { window, navigator };
}

describe("a network that fails", () => {
  it("does not lose, repeat or reorder messages, wherever connections are cut", async () => {
    const { ann, bob, id, proxies } = await apart();
    const seen = [collect(ann.client, id), collect(bob.client, id)];
    const { seed, random } = seeded();
    let losses = 0;
    for (const { client } of [ann, bob]) client.on("state", (s) => (losses += s.name === "reconnecting" ? 1 : 0));
    const each = 60;
    const said: string[] = [];
    for (let i = 0; i < each; i++) {
      for (const [name, { client }] of [["ann", ann], ["bob", bob]] as const) {
        said.push(`${name} ${i}`);
        client.channel(id).send(`${name} ${i}`);
      }
      const unlucky = proxies[random() < 0.5 ? 0 : 1];
      const chance = random();
      if (chance < 0.15) unlucky.cut();
      else if (chance < 0.2) {
        unlucky.offline();
        setTimeout(() => unlucky.back(), random() * 300);
      }
      await new Promise((done) => setTimeout(done, random() * 30));
      for (const { client } of [ann, bob]) client.retryNow();
    }
    for (const proxy of proxies) proxy.back();
    await until("all messages are sent and received", () => {
      for (const { client } of [ann, bob]) client.retryNow();
      return seen.every((events) => bodies(events).length >= said.length) && ann.client.pending().length + bob.client.pending().length === 0;
    }, 40_000);
    for (const events of seen) {
      expect(whole(events), `SEED=${seed}`).toBe(true);
      expect(bodies(events).sort(), `SEED=${seed}`).toEqual([...said].sort());
    }
    expect(losses).toBeGreaterThan(3);
    // Each user's messages arrive in the order in which they were sent.
    for (const name of ["ann", "bob"]) {
      const own = bodies(seen[0]!).filter((b) => b.startsWith(name));
      expect(own).toEqual(said.filter((b) => b.startsWith(name)));
    }
    const history = await ann.client.channel(id).history({ limit: 200 });
    expect(history.map((m) => m.body).sort()).toEqual([...said].sort());
  });

  it("is noticed, even if it fails silently, when the browser reports a change", async () => {
    const { window, navigator } = page();
    const { ann, bob, id, proxies } = await apart();
    const seen = collect(ann.client, id);
    proxies[0].swallow();
    await bob.client.channel(id).send("are you there?").settled;
    expect(ann.client.state.name).toBe("up-to-date"); // the failure was silent
    navigator.onLine = false;
    window.dispatchEvent(new Event("offline"));
    await until("the connection is dropped", () => ann.client.state.name === "offline");
    navigator.onLine = true;
    window.dispatchEvent(new Event("online"));
    await ann.client.upToDate();
    expect(bodies(seen)).toEqual(["are you there?"]);
    expect(bob.client.state.name).toBe("up-to-date"); // bob's client sent a ping too, and it was answered
  });

  it("is reported with the time of the next attempt", async () => {
    const { ann, proxies } = await apart();
    const states: string[] = [];
    ann.client.on("state", (s) => states.push(s.name));
    proxies[0].offline();
    const waiting = await until("the client waits to reconnect", () => ann.client.state.name === "reconnecting" && ann.client.state);
    expect(waiting.retryAt).toBeGreaterThan(Date.now() - 5_000);
    expect(waiting.retryAt).toBeLessThan(Date.now() + 30_000);
    proxies[0].back();
    ann.client.retryNow();
    await ann.client.upToDate();
    expect(states.at(-1)).toBe("up-to-date");
    expect(states.slice(-3)).toEqual(["connecting", "catching-up", "up-to-date"]);
  });

  it("does not prevent a reloaded page from sending its saved messages", async () => {
    const pendingStore = new MemoryPendingStore();
    const { ann, bob, id, proxies } = await apart();
    ann.client.close();
    const through = { url: inject("server"), sockets: [`ws${proxies[0].url.slice("http".length)}/ws`] };
    const first = new Client({ ...through, WebSocket: NodeWebSocket, auth: {}, pendingStore });
    await first.rest.logIn({ login: ann.name, password: ann.password });
    first.connect();
    await first.upToDate();
    const seen = collect(bob.client, id);
    proxies[0].offline();
    for (const body of ["one", "two", "three"]) first.channel(id).send(body);
    first.close(); // the page is closed
    proxies[0].back();
    const second = new Client({ ...through, WebSocket: NodeWebSocket, auth: {}, pendingStore, userID: ann.id });
    closing.push(() => second.close());
    await second.rest.logIn({ login: ann.name, password: ann.password });
    await until("the messages are shown before there is a connection", () => second.channel(id).pending.length === 3);
    second.connect();
    await until("bob receives them", () => bodies(seen).length === 3);
    expect(bodies(seen)).toEqual(["one", "two", "three"]);
    await until("the store is empty", () => pendingStore.load(ann.id).length === 0 && second.pending().length === 0);
  });

  it("that was down for long is followed by pages of missed events, or by a Reset", async () => {
    const { ann, bob, id } = await apart();
    const kept = bob.client.positions();
    bob.client.close();
    const sends = Array.from({ length: 1_300 }, (_, i) => `${i}`);
    for (let i = 0; i < sends.length; i += 500) {
      await Promise.all(sends.slice(i, i + 500).map((body) => ann.client.channel(id).send(body).settled));
    }
    const again = async (maxCatchUp: number): Promise<{ seen: ChannelEvent[]; resets: Reset[] }> => {
      const client = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {}, positions: kept, maxCatchUp });
      closing.push(() => client.close());
      await client.rest.logIn({ login: bob.name, password: bob.password });
      const seen = collect(client, id);
      const resets: Reset[] = [];
      client.on("reset", (r) => resets.push(r));
      client.connect();
      await client.upToDate();
      return { seen, resets };
    };
    const all = await again(10_000);
    expect(bodies(all.seen)).toEqual(sends);
    expect(whole(all.seen)).toBe(true);
    expect(all.resets).toEqual([]);
    const newest = await again(1_000);
    expect(newest.seen).toEqual([]);
    expect(newest.resets).toMatchObject([{ lost: false, from: kept[id], to: { seq: all.seen.at(-1)?.seq } }]);
  });
});
