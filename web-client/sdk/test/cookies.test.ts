import { afterEach, expect, inject, it, vi } from "vitest";
import { WebSocket } from "ws";
import { Client, type SocketConstructor } from "../src/index.js";
import { until } from "./people.js";
import { ACCESS_TOKEN_SECONDS } from "./server.js";

afterEach(() => void vi.unstubAllGlobals());

/** browser simulates a browser's sessions: cookies, localStorage and locks that all tabs share. */
function browser() {
  const cookies = new Map<string, string>();
  const items = new Map<string, string>();
  let refreshes = 0;
  const header = (): string => [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  const fetchWithCookies = (async (url: string, init: RequestInit) => {
    if (url.endsWith("/v1/refresh")) refreshes++;
    const response = await fetch(url, { ...init, headers: { ...(init.headers as object), Cookie: header() } });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (value === "") cookies.delete(name);
      else cookies.set(name, value);
    }
    return response;
  }) as typeof globalThis.fetch;
  class SocketWithCookies extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, { headers: { Cookie: header(), Origin: inject("server") } });
    }
  }
  let last: Promise<unknown> = Promise.resolve();
  vi.stubGlobal("navigator", { onLine: true, locks: { request: (_: string, work: () => Promise<unknown>) => (last = last.then(work, work)) } });
  vi.stubGlobal("localStorage", {
    getItem: (k: string) => items.get(k) ?? null,
    setItem: (k: string, v: string) => void items.set(k, v),
    removeItem: (k: string) => void items.delete(k),
  });
  const tab = (): Client =>
    new Client({ url: inject("server"), auth: "cookies", fetch: fetchWithCookies, WebSocket: SocketWithCookies as unknown as SocketConstructor });
  return { tab, cookies, refreshes: () => refreshes };
}

it("a cookie session is renewed by one tab for all tabs, and their connections stay open", async () => {
  const { tab, cookies, refreshes } = browser();
  const [first, second] = [tab(), tab()];
  expect(first.hasSession).toBe(false);
  const name = `cookie-${Math.random().toString(36).slice(2)}`;
  const answer = await first.rest.signUp({ username: name, email: `${name}@example.com`, password: "correct horse battery" });
  expect(JSON.stringify(answer)).not.toContain("_token"); // scripts cannot see tokens
  expect(second.hasSession).toBe(true);
  for (const client of [first, second]) client.connect();
  await Promise.all([first.upToDate(), second.upToDate()]);
  const states: string[] = [];
  for (const client of [first, second]) client.on("state", (s) => states.push(s.name));
  const begun = Date.now();
  await until("twice the lifetime of a token", () => Date.now() - begun > 2 * ACCESS_TOKEN_SECONDS * 1000);
  expect(states).toEqual([]);
  expect(refreshes()).toBeGreaterThanOrEqual(2);
  expect(refreshes()).toBeLessThanOrEqual(4); // not one renewal per tab
  // A page that is loaded later with an expired token renews the token first.
  cookies.delete("access_token");
  const third = tab();
  await expect(third.rest.getMe()).resolves.toMatchObject({ username: name });
  await third.rest.logOut();
  await until("all tabs end", () => [first, second].every((c) => c.state.name === "ended"));
  expect(first.hasSession).toBe(false);
  expect([...cookies.keys()]).toEqual(["device_token"]); // the device token outlives the session
});
