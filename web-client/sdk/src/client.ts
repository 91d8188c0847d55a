/**
 * Parley's JavaScript SDK: a chat client that stays connected.
 *
 * A Client keeps one WebSocket open. If the connection is lost for any reason that is not final,
 * the client waits, reconnects, resumes every channel where it stopped, and resends what was not
 * acknowledged. It guarantees:
 *
 *   - Every event of a channel is delivered once, in order and without gaps, across any number of
 *   connections. If that is impossible (the server lost writes, or too much was missed), the event
 *   `reset` reports this and what to do. - Every message settles once: it is acknowledged with its
 *   seq, or refused with a reason. It is posted only once, whatever is lost on the way.
 *
 * The constructor does no I/O. connect() starts the client and close() ends it. Listeners are
 * called one after the other.
 */

import { Channel } from "./channel.js";
import type { SocketConstructor } from "./connection.js";
import type { Environment } from "./connector.js";
import { Core, type ClientEvents } from "./core.js";
import type { Listener, Off } from "./emitter.js";
import type { ConnectionState, Position } from "./events.js";
import type { Limits } from "./frames.js";
import { Http } from "./http.js";
import { MemoryPendingStore, type Pending, type PendingStore } from "./pending.js";
import { Rest } from "./rest.js";
import { BearerTokens, CookieTokens, type BearerAuth, type TokenSource } from "./tokens.js";

const DEFAULT_MAX_PENDING = 1_000;
const DEFAULT_MAX_CATCH_UP = 10_000;

export interface ClientConfig {
  /** http(s)://host of the REST API. Default: the origin of the page. */
  readonly url?: string;
  /**
   * The gateways' addresses, ws(s)://host/ws. Connection attempts use them in rotation. Default:
   * /ws at url.
   */
  readonly sockets?: readonly string[];
  /**
   * Where the tokens are: in cookies (the default in a page) or managed by the program (the default
   * elsewhere).
   */
  readonly auth?: "cookies" | BearerAuth;
  /** The user's id, if known. Saved messages are then available before the first connection. */
  readonly userID?: string;
  /**
   * Positions saved from an earlier Client. A channel without a position is followed from its
   * newest event.
   */
  readonly positions?: Readonly<Record<string, Position>>;
  /** Stores messages that are neither acknowledged nor refused yet. Default: in memory. */
  readonly pendingStore?: PendingStore;
  /** The maximum number of unacknowledged sends. Default: 1,000. */
  readonly maxPending?: number;
  /**
   * The maximum number of missed events per channel to fetch, 200 per request; beyond that a Reset
   * follows. Default: 10,000.
   */
  readonly maxCatchUp?: number;
  /** Whether events count as delivered as soon as this client receives them. Default: true. */
  readonly autoDelivered?: boolean;
  readonly fetch?: typeof globalThis.fetch;
  /** Node 20 has no WebSocket: pass the one from the package `ws`. */
  readonly WebSocket?: SocketConstructor;
}

/**
 * A Client is one user's connection to Parley. Once it has ended, or for another user, create a new
 * one.
 */
export class Client {
  /** The REST API, using the client's session. It works without a WebSocket connection. */
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
    if (!WebSocket) throw new TypeError("this environment has no WebSocket: pass one, such as that of the package ws");
    this.tokens = auth === "cookies" ? new CookieTokens(http, storage(), globalThis.navigator?.locks) : new BearerTokens(http, auth);
    this.rest = new Rest(http, this.tokens);
    this.core = new Core(
      {
        sockets: config.sockets ?? [`ws${url.slice("http".length)}/ws`],
        tokens: this.tokens,
        WebSocket,
        environment: page && browserEnvironment,
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

  /** Connects and stays connected until close() is called or the server ends the session. */
  connect(): void {
    this.core.connector.start();
  }

  /** Ends the client. Pending sends fail with `closed`; they stay in their store. */
  close(): void {
    this.core.close();
  }

  /** Connects immediately if the client is waiting to reconnect. */
  retryNow(): void {
    this.core.connector.retryNow();
  }

  /** Resolves when every event so far has been delivered; rejects if the client has ended. */
  upToDate(): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (state: ConnectionState): boolean => {
        if (state.name === "up-to-date") resolve();
        else if (state.name === "ended") reject(state.error ?? new Error(`the client has ended: ${state.reason}`));
        else return false;
        return true;
      };
      if (check(this.state)) return;
      const off = this.on("state", (state) => {
        if (check(state)) off();
      });
    });
  }

  get state(): ConnectionState {
    return this.core.connector.state;
  }

  /**
   * Whether there may be a session. If there is none, any authenticated request would be refused.
   */
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

  /** The server's limits, as announced when connecting. The client stays within them by itself. */
  get limits(): Limits | undefined {
    return this.core.limits;
  }

  on<K extends keyof ClientEvents>(name: K, listener: Listener<ClientEvents[K]>): Off {
    return this.core.emitter.on(name, listener);
  }

  /** Returns the channel with the id, always the same object. */
  channel(id: string): Channel {
    let channel = this.channelsByID.get(id);
    if (!channel) this.channelsByID.set(id, (channel = new Channel(id, this.core, this.rest)));
    return channel;
  }

  /** Returns the direct channel with a user; the server creates it if there is none. */
  async direct(userID: string): Promise<Channel> {
    const { id } = await this.rest.openDirectChannel({ user_id: userID });
    return this.channel(id);
  }

  /** Returns the channels that are followed, in no particular order. */
  channels(): Channel[] {
    return [...this.core.subscriptions.tracks.values()].filter((t) => t.summary).map((t) => this.channel(t.id));
  }

  /** Returns the current position in each channel, to pass as `positions` to the next Client. */
  positions(): Record<string, Position> {
    return Object.fromEntries([...this.core.subscriptions.tracks.values()].map((t) => [t.id, { seq: t.pos, epoch: t.epoch }]));
  }

  /**
   * Returns all messages that are not in the log yet: waiting, failed, or with their event still to
   * arrive.
   */
  pending(): readonly Pending[] {
    return this.core.outbox.all();
  }
}

/** storage returns localStorage if the environment has it and the page may use it. */
function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}

/** browserEnvironment reports the browser's network state and the page's visibility. */
const browserEnvironment: Environment = {
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
