/**
 * Parley's JavaScript SDK: a chat client that stays connected.
 *
 * A Client keeps one WebSocket. When it is lost, for whatever reason that is not final, the client waits,
 * connects again, resumes every channel from where it was, and sends again what was not acknowledged. What
 * it promises:
 *
 *   - Every event of a channel comes once, in order, without a hole, over any number of connections. Where
 *     that cannot be (the server has lost writes, or too much was missed) a Reset says so, and what to do.
 *   - Every message that is sent settles once: acknowledged with its one seq, or refused with a reason. It
 *     is not said twice, whatever is lost on the way.
 *
 * The constructor does no I/O. connect() begins, close() ends; listeners are called one after the other.
 */

import { Channel } from "./channel.js";
import type { Surroundings } from "./connection.js";
import { Core } from "./core.js";
import type { Listener, Off } from "./emitter.js";
import type { ClientEvents, ConnectionState, Position } from "./events.js";
import type { Limits } from "./frames.js";
import { Http } from "./http.js";
import type { SocketConstructor } from "./link.js";
import { MemoryPendingStore, type Pending, type PendingStore } from "./pending.js";
import { Rest } from "./rest.js";
import { BearerTokens, CookieTokens, type BearerAuth, type TokenSource } from "./tokens.js";

const DEFAULT_MAX_PENDING = 1_000;
const DEFAULT_MAX_CATCH_UP = 10_000;

export interface ClientConfig {
  /** http(s)://host, where the REST surface is. Default: the origin of the page. */
  readonly url?: string;
  /** The gateways, ws(s)://host/ws. Attempts to connect take them in turn. Default: /ws at url. */
  readonly sockets?: readonly string[];
  /** Where the tokens are: in cookies (the default in a page), or in the program's hands (the default elsewhere). */
  readonly auth?: "cookies" | BearerAuth;
  /** Who is logged in, where that is known: then kept sends are there before the first connection. */
  readonly userID?: string;
  /**
   * Where the caller stands, from the events of an earlier Client. A channel that is not among them is
   * followed from its newest event on.
   */
  readonly positions?: Readonly<Record<string, Position>>;
  /** Keeps messages that have not settled. Default: in memory. */
  readonly pendingStore?: PendingStore;
  /** How many sends may wait for their acknowledgement. Default 1,000. */
  readonly maxPending?: number;
  /** How many missed events of a channel are fetched, 200 per request; what is more ends in a Reset. Default 10,000. */
  readonly maxCatchUp?: number;
  /** Whether events count as delivered by coming here. Default true. */
  readonly autoDelivered?: boolean;
  readonly fetch?: typeof globalThis.fetch;
  /** Node 20 has none of its own: give it that of the package `ws`. */
  readonly WebSocket?: SocketConstructor;
}

/** A Client is one user's connection to Parley. After it has ended, or for another user, make another one. */
export class Client {
  /** The REST surface, with the client's session. It works without a connection. */
  readonly rest: Rest;
  private readonly core: Core;
  private readonly tokens: TokenSource;
  private readonly channelsByID = new Map<string, Channel>();

  constructor(config: ClientConfig = {}) {
    const page = typeof document === "undefined" ? undefined : globalThis;
    const url = (config.url ?? page?.location.origin ?? "").replace(/\/$/, "");
    if (!/^https?:\/\/[^/]/.test(url)) throw new TypeError(`"${url}" is not a URL like https://chat.example`);
    const auth = config.auth ?? (page ? "cookies" : {});
    const http = new Http(url, config.fetch ?? globalThis.fetch.bind(globalThis), auth === "cookies");
    const WebSocket = config.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined);
    if (!WebSocket) throw new TypeError("there is no WebSocket here: give one, as of the package ws");
    this.tokens = auth === "cookies" ? new CookieTokens(http, storage(), globalThis.navigator?.locks) : new BearerTokens(http, auth);
    this.rest = new Rest(http, this.tokens);
    this.core = new Core(
      {
        sockets: config.sockets ?? [`ws${url.slice("http".length)}/ws`],
        tokens: this.tokens,
        WebSocket,
        surroundings: page && surroundings,
        userID: config.userID,
        positions: config.positions ?? {},
        pendingStore: config.pendingStore ?? new MemoryPendingStore(),
        maxPending: config.maxPending ?? DEFAULT_MAX_PENDING,
        maxCatchUp: config.maxCatchUp ?? DEFAULT_MAX_CATCH_UP,
        autoDelivered: config.autoDelivered ?? true,
      },
      this.rest,
      (id) => this.channel(id),
    );
  }

  /** Connects, and keeps the client connected until close(), or until the server says that it is over. */
  connect(): void {
    this.core.connection.start();
  }

  /** Ends the client. Sends that have not settled fail with `closed`; their store keeps them. */
  close(): void {
    this.core.close();
  }

  /** Tries to connect at once, if the client waits. */
  retryNow(): void {
    this.core.connection.retryNow();
  }

  /** Resolves when all that has happened was handed on; rejects when the client has ended. */
  upToDate(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (state: ConnectionState): boolean => {
        if (state.name === "up-to-date") resolve();
        else if (state.name === "ended") reject(state.error ?? new Error(`the client has ended: ${state.reason}`));
        else return false;
        return true;
      };
      if (look(this.state)) return;
      const off = this.on("state", (state) => {
        if (look(state)) off();
      });
    });
  }

  get state(): ConnectionState {
    return this.core.connection.state;
  }

  /** Whether there may be a session. False: a request would be refused. */
  get hasSession(): boolean {
    return this.tokens.present;
  }

  /** The user's id; undefined before the first connection, unless `userID` was given. */
  get me(): string | undefined {
    return this.core.me;
  }

  get sessionID(): string | undefined {
    return this.core.sessionID;
  }

  /** What the server has told of its limits. The client keeps them by itself. */
  get limits(): Limits | undefined {
    return this.core.limits;
  }

  on<K extends keyof ClientEvents>(name: K, listener: Listener<ClientEvents[K]>): Off {
    return this.core.emitter.on(name, listener);
  }

  /** The channel of an id, the same object each time. */
  channel(id: string): Channel {
    let channel = this.channelsByID.get(id);
    if (!channel) this.channelsByID.set(id, (channel = new Channel(id, this.core, this.rest)));
    return channel;
  }

  /** The direct channel with a user, which is made once. */
  async direct(userID: string): Promise<Channel> {
    const { id } = await this.rest.openDirectChannel({ user_id: userID });
    return this.channel(id);
  }

  /** The channels that are followed, in no order. */
  channels(): Channel[] {
    return [...this.core.subscriptions.tracks.values()].filter((t) => t.summary).map((t) => this.channel(t.id));
  }

  /** Where the caller stands in each channel: `positions` of the next Client. */
  positions(): Record<string, Position> {
    return Object.fromEntries([...this.core.subscriptions.tracks.values()].map((t) => [t.id, { seq: t.pos, epoch: t.epoch }]));
  }

  /** All messages that are not in the log yet: they wait, have failed, or their event is on its way. */
  pending(): readonly Pending[] {
    return this.core.outbox.all();
  }
}

/** localStorage, where there is one and the page may use it. */
function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}

/** What a page hears of its network. */
const surroundings: Surroundings = {
  offline: () => navigator.onLine === false,
  onChange: (changed) => {
    const shown = (): void => {
      if (document.visibilityState === "visible") changed();
    };
    window.addEventListener("online", changed);
    window.addEventListener("offline", changed);
    document.addEventListener("visibilitychange", shown);
    return () => {
      window.removeEventListener("online", changed);
      window.removeEventListener("offline", changed);
      document.removeEventListener("visibilitychange", shown);
    };
  },
};
