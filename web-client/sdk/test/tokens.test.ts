import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/errors.js";
import { Http } from "../src/http.js";
import { Rest } from "../src/rest.js";
import { asUser, BearerTokens, CookieTokens, renewIn, type Credentials } from "../src/tokens.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/**
 * server simulates a server whose tokens are t1, t2, … and whose refresh tokens can be used once.
 */
function server(cookies: boolean) {
  const state = { n: 1, refreshes: 0, ended: false };
  const fetch = (async (url: string, init: RequestInit) => {
    await Promise.resolve();
    if (url.endsWith("/v1/refresh")) {
      state.refreshes++;
      const body = init.body ? (JSON.parse(init.body as string) as { refresh_token?: string }) : {};
      if (state.ended || (!cookies && body.refresh_token !== `r${state.n}`)) return problem(401, "unauthenticated");
      state.n++;
      return Response.json({ expires_in: 900, ...(cookies ? {} : { access_token: `t${state.n}`, refresh_token: `r${state.n}` }) });
    }
    const sent = (init.headers as Record<string, string>)["Authorization"];
    if (!cookies && sent !== `Bearer t${state.n}`) return problem(401, "unauthenticated");
    return cookies && state.ended ? problem(401, "unauthenticated") : Response.json({ ok: true });
  }) as typeof globalThis.fetch;
  return { state, http: new Http("http://x", fetch, cookies) };
}

function problem(status: number, code: string): Response {
  return new Response(JSON.stringify({ code, detail: "no" }), { status });
}

describe("bearer tokens", () => {
  it("are renewed once for concurrent callers, and passed to onRenewed before their first use", async () => {
    const { state, http } = server(false);
    const kept: Credentials[] = [];
    const tokens = new BearerTokens(http, { accessToken: "t0", expires: Date.now() + 1000, refreshToken: "r1", onRenewed: (c) => kept.push(c) });
    const calls = Array.from({ length: 10 }, () => asUser(http, tokens, { method: "GET", path: "/v1/me" }));
    await expect(Promise.all(calls)).resolves.toHaveLength(10);
    expect(state.refreshes).toBe(1);
    expect(kept).toEqual([{ accessToken: "t2", refreshToken: "r2", expires: Date.now() + 900_000 }]);
    vi.advanceTimersByTime(900_000);
    expect((await tokens.token()).access).toBe("t3");
  });

  it("fail after one try if they cannot be renewed", async () => {
    const { state, http } = server(false);
    const tokens = new BearerTokens(http, { accessToken: "t0", refreshToken: "stolen" });
    await expect(asUser(http, tokens, { method: "GET", path: "/v1/me" })).rejects.toBeInstanceOf(ApiError);
    expect(state.refreshes).toBe(1);
    const none = new BearerTokens(http, {});
    await expect(none.token()).rejects.toMatchObject({ status: 401, code: "unauthenticated" });
    const fixed = new BearerTokens(http, { accessToken: "given" });
    expect((await fixed.token()).access).toBe("given");
    await expect(fixed.token({ rejected: { access: "given", expires: 0 } })).rejects.toMatchObject({ status: 401 });
  });
});

describe("device tokens", () => {
  it("are sent with the next login, and kept through renewals", async () => {
    const bodies: Record<string, unknown>[] = [];
    const fetch = ((url: string, init: RequestInit) => {
      bodies.push(JSON.parse(init.body as string) as Record<string, unknown>);
      const device_token = url.endsWith("/v1/login") ? `d${bodies.length}` : undefined;
      return Promise.resolve(Response.json({ access_token: "t", refresh_token: "r", expires_in: 900, device_token }));
    }) as typeof globalThis.fetch;
    const http = new Http("http://x", fetch, false);
    let kept: Credentials | undefined;
    const tokens = new BearerTokens(http, { onRenewed: (c) => (kept = c) });
    const rest = new Rest(http, tokens);
    await rest.logIn({ login: "ann", password: "secret" });
    await rest.refreshSession();
    tokens.forget(); // a logout does the same
    await rest.logIn({ login: "ann", password: "secret" });
    expect(bodies.map((b) => b["device_token"])).toEqual([undefined, undefined, "d1"]);
    const again = new Rest(http, new BearerTokens(http, { deviceToken: kept?.deviceToken }));
    await again.logIn({ login: "ann", password: "secret" });
    expect(bodies[3]).toMatchObject({ device_token: "d3" });
  });
});

/** browser simulates what all tabs of a browser share. */
function browser() {
  const items = new Map<string, string>();
  const storage = {
    getItem: (k: string) => items.get(k) ?? null,
    setItem: (k: string, v: string) => void items.set(k, v),
    removeItem: (k: string) => void items.delete(k),
  } as unknown as Storage;
  let last: Promise<unknown> = Promise.resolve();
  const request = (_: string, work: () => Promise<unknown>): Promise<unknown> => (last = last.then(work, work));
  return { storage, locks: { request } as unknown as LockManager };
}

describe("cookie tokens", () => {
  it("are renewed once when all tabs have the token rejected", async () => {
    const { state, http } = server(true);
    const { storage, locks } = browser();
    const tabs = Array.from({ length: 5 }, () => new CookieTokens(http, storage, locks));
    tabs[0]!.accept({ expires_in: 900 });
    const held = await Promise.all(tabs.map((t) => t.token()));
    expect(state.refreshes).toBe(0);
    const next = await Promise.all(tabs.map((t, i) => t.token({ rejected: held[i] })));
    expect(state.refreshes).toBe(1);
    expect(new Set(next.map((t) => t.expires)).size).toBe(1);
    expect(next[0]?.expires).not.toBe(held[0]?.expires);
    vi.advanceTimersByTime(900_001);
    await Promise.all(tabs.map((t) => t.token({ fresh: true })));
    expect(state.refreshes).toBe(2);
  });

  it("of the new session after a password change are available to other tabs, which wait for them", async () => {
    let answer: (response: Response) => void = () => {};
    const fetch = (() => new Promise<Response>((resolve) => (answer = resolve))) as typeof globalThis.fetch;
    const http = new Http("http://x", fetch, true);
    const { storage, locks } = browser();
    const [one, two] = [new CookieTokens(http, storage, locks), new CookieTokens(http, storage, locks)];
    one.accept({ access_token: "t1", expires_in: 900 });
    const held = await two.token();
    expect(await two.replacementFor(held)).toBeUndefined();
    const change = one.exchange("/v1/me/password", {});
    await vi.advanceTimersByTimeAsync(0); // the request was sent
    const replaced = two.replacementFor(held);
    answer(Response.json({ access_token: "t2", expires_in: 900 }));
    await change;
    expect((await replaced)?.expires).not.toBe(held.expires);
    expect(await replaced).toBeDefined();
  });

  it("of unknown expiry are used by requests, and renewed before a connection", async () => {
    const { state, http } = server(true);
    const { storage, locks } = browser();
    const tokens = new CookieTokens(http, storage, locks);
    expect(tokens.present).toBe(false);
    expect(await tokens.token()).toEqual({ expires: 0 });
    expect(state.refreshes).toBe(0);
    expect((await tokens.token({ fresh: true })).expires).toBe(Date.now() + 900_000);
    expect(tokens.present).toBe(true);
    state.ended = true;
    vi.advanceTimersByTime(900_000);
    await expect(tokens.token()).rejects.toMatchObject({ status: 401 });
    expect(tokens.present).toBe(false);
  });
});

describe("a renewal", () => {
  it.each([
    [900, 840],
    [120, 80],
    [6, 4],
    [1, 1],
    [-5, 1],
  ])("of a token that expires in %i s happens after %i s", (left, wait) => {
    expect(renewIn({ expires: 1_000_000 + left * 1000 }, 1_000_000)).toBe(wait * 1000);
  });

  it("is not scheduled if the expiry is unknown", () => expect(renewIn({ expires: 0 }, 1)).toBeUndefined());
});
