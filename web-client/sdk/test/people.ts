/** Helpers that create users on the test server and wait for conditions. */

import { inject } from "vitest";
import { WebSocket } from "ws";
import { Client, type ChannelEvent, type ClientConfig, type SocketConstructor } from "../src/index.js";

export const NodeWebSocket = WebSocket as unknown as SocketConstructor;

/**
 * until calls `look` repeatedly until it returns a value other than undefined or false, and then
 * returns that value. The error on a timeout contains `what`.
 */
export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, within = 20_000): Promise<T> {
  for (const begun = Date.now(); ; ) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (Date.now() - begun > within) throw new Error(`not within ${within} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

let people = 0;
const run = Math.random().toString(36).slice(2, 8);

export interface Person {
  readonly client: Client;
  readonly name: string;
  readonly password: string;
  readonly id: string;
}

/** person signs up a new user. */
export async function person(config: ClientConfig = {}): Promise<Person> {
  const name = `user-${run}-${process.pid}-${++people}`;
  const password = "correct horse battery";
  const client = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {}, ...config });
  const { user } = await client.rest.signUp({ username: name, email: `${name}@example.com`, password });
  if (!user) throw new Error("the answer to the signup has no user");
  return { client, name, password, id: user.id };
}

/**
 * collect returns an array to which each event in the channel is appended when the client receives
 * it.
 */
export function collect(client: Client, channelID: string): ChannelEvent[] {
  const events: ChannelEvent[] = [];
  client.channel(channelID).on("event", (e) => events.push(e));
  return events;
}

export function bodies(events: readonly ChannelEvent[]): string[] {
  return events.flatMap((e) => (e.type === "message" ? [e.body] : []));
}
