/**
 * Starts a real Parley server for the tests, as one process with one port, and stops it after the
 * tests.
 */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";

const READY_TIMEOUT_MS = 60_000;

declare module "vitest" {
  export interface ProvidedContext {
    /** The server's base URL. */
    server: string;
  }
}

/**
 * The lifetime of the test server's access tokens. It is short, so that longer tests include
 * renewals.
 */
export const ACCESS_TOKEN_SECONDS = 6;

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => probe.once("listening", done));
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return port;
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const program = resolve(process.env["PARLEY_BIN_DIR"] ?? "../../bin", "standalone");
  if (!existsSync(program)) throw new Error(`${program} does not exist: run make build, or set PARLEY_BIN_DIR`);
  const address = `127.0.0.1:${await freePort()}`;
  const data = mkdtempSync(join(tmpdir(), "parley-sdk-"));
  const server = spawn(program, {
    env: {
      ...process.env,
      ADDR: address,
      DATA_DIR: data,
      ACCESS_TOKEN_TTL: `${ACCESS_TOKEN_SECONDS}s`,
      LOGIN_ATTEMPTS: "1000/1m",
      RATE_LIMIT: "off",
      ADD_WITHOUT_INVITATION: "anyone",
      FRAME_RATE: "off",
      ARGON2_MEMORY_MIB: "8",
      ARGON2_TIME: "1",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<void>((done) => server.once("exit", () => done()));
  const url = `http://${address}`;
  for (const begun = Date.now(); ; ) {
    const ready = await fetch(`${url}/readyz`).then((r) => r.ok, () => false);
    if (ready) break;
    if (server.exitCode !== null || Date.now() - begun > READY_TIMEOUT_MS) throw new Error(`standalone did not start:\n${output}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  project.provide("server", url);
  return async () => {
    server.kill("SIGTERM");
    await ended;
    rmSync(data, { recursive: true, force: true });
  };
}
