import { readFileSync } from "node:fs";
import { describe, expect, inject, it } from "vitest";
import { parse } from "yaml";
import { Http } from "../src/http.js";
import { allPages, ClientError, Rest } from "../src/index.js";
import { BearerTokens } from "../src/tokens.js";
import { person } from "./people.js";

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
}

/** The tags of operations that are not for chat clients. */
const FOR_MACHINES = ["operations"];

const document = parse(readFileSync(new URL("../../../docs/openapi.yaml", import.meta.url), "utf8")) as {
  paths: Record<string, Record<string, Operation>>;
};

/** requested calls a method of Rest with the id "ID" and returns the request line that it sends. */
async function requested(name: string): Promise<string> {
  let line = "";
  const fetch = (async (url: string, init: RequestInit) => {
    line = `${init.method} ${new URL(url).pathname}`;
    return Response.json({ access_token: "t", expires_in: 900 });
  }) as typeof globalThis.fetch;
  const http = new Http("http://x", fetch, false);
  const rest = new Rest(http, new BearerTokens(http, { accessToken: "t", expires: Date.now() + 1e6, refreshToken: "r" }));
  const method = (rest as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[name];
  expect(method, `Rest has no ${name}`).toBeTypeOf("function");
  await method!.call(rest, "ID", "ID", {});
  return line;
}

describe("the REST API", () => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, op]) => op.operationId !== undefined && !op.tags.some((t) => FOR_MACHINES.includes(t)))
      .map(([method, op]) => [op.operationId, `${method.toUpperCase()} ${path}`] as const),
  );

  it.each(operations)("has the method %s, which requests %s", async (name, line) => {
    // A first argument that is the request's body, not an id, does not appear in the path.
    expect(await requested(name)).toBe(line.replaceAll(/\{\w+\}/g, "ID"));
  });

  it("allPages reads all pages of a list", async () => {
    const { client } = await person();
    const made = await Promise.all(
      Array.from({ length: 7 }, (_, i) => client.rest.createGroup({ name: `group ${i}` })),
    );
    const pages: number[] = [];
    const all = await allPages(async (p) => {
      const page = await client.rest.listGroups({ ...p, limit: 3 });
      pages.push(page.items.length);
      return page;
    });
    expect(all.map((g) => g.id).sort()).toEqual(made.map((g) => g.id).sort());
    expect(pages).toEqual([3, 3, 1]);
  });

  it("reports an unreachable server and an aborted request", async () => {
    const unreachable = new Http("http://127.0.0.1:1", fetch, false);
    const call = unreachable.send({ method: "GET", path: "/v1/me" });
    await expect(call).rejects.toMatchObject({ name: "ClientError", code: "offline" });
    await expect(call).rejects.toBeInstanceOf(ClientError);
    const reason = new Error("never mind");
    const given = new Http(inject("server"), fetch, false).send({ method: "GET", path: "/v1/me", signal: AbortSignal.abort(reason) });
    await expect(given).rejects.toBe(reason);
  });

  it("derives an error code from a proxy's answer", async () => {
    const answer = (status: number, headers = {}): Http =>
      new Http("http://x", (async () => new Response("<html>", { status, headers })) as unknown as typeof fetch, false);
    const send = (http: Http): Promise<unknown> => http.send({ method: "GET", path: "/" });
    await expect(send(answer(502))).rejects.toMatchObject({ status: 502, code: "unavailable" });
    await expect(send(answer(429, { "Retry-After": "3" }))).rejects.toMatchObject({ code: "rate_limited", retryAfterMs: 3000 });
    await expect(send(answer(401))).rejects.toMatchObject({ code: "unauthenticated" });
    await expect(send(answer(404))).rejects.toMatchObject({ code: "invalid_request" });
  });
});
