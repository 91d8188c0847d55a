/**
 * Parley's JavaScript SDK: a chat client that stays connected.
 *
 * A Client keeps one WebSocket open. If the connection is lost and the reason is not final, the
 * client waits, reconnects, resumes every channel where it stopped, and resends everything that was
 * not acknowledged. It guarantees:
 *
 *   - Every event in a channel is delivered once, in order and without gaps, across any number of
 *     connections. If that is impossible because the server lost writes or too many events were
 *     missed, a `reset` event reports it; see Reset for the required action.
 *   - Every message settles once: it is either acknowledged with its seq or refused with a
 *     reason. It is posted at most once, no matter what is lost in transit.
 *
 * The constructor does no I/O. connect() starts the client and close() ends it. Listeners are
 * called one after another.
 */

import { type AccessConfig, openAccess } from "./access.js";
import { Channel } from "./channel.js";
import type { SocketConstructor } from "./connection.js";
import type { Environment } from "./connector.js";
import { Core, type ClientEvents } from "./core.js";
import type { Listener, Off } from "./emitter.js";
import type { ConnectionState, Position } from "./events.js";
import type { Limits } from "./frames.js";
import { MemoryPendingStore, type Pending, type PendingStore } from "./pending.js";
import type { Rest } from "./rest.js";
import type { TokenSource } from "./tokens.js";

const DEFAULT_MAX_PENDING = 1_000;
const DEFAULT_MAX_CATCH_UP = 10_000;

export interface ClientConfig extends AccessConfig {
  /**
   * The gateways' addresses, ws(s)://host/ws. Connection attempts rotate through them. Default: the
   * path /ws under `url`.
   */
  readonly sockets?: readonly string[];
  /**
   * The user's id, if known. If it is set, saved messages are available before the first
   * connection.
   */
  readonly userID?: string;
  /**
   * Positions saved from an earlier Client. A channel without a position is followed from its
   * newest event.
   */
  readonly positions?: Readonly<Record<string, Position>>;
  /**
   * Stores messages that the server has not acknowledged or refused yet. Default: an in-memory
   * store.
   */
  readonly pendingStore?: PendingStore;
  /** The maximum number of unacknowledged sends. Default: 1,000. */
  readonly maxPending?: number;
  /**
   * The maximum number of missed events to fetch per channel, 200 per request. If more were missed,
   * the client emits a `reset` event instead. Default: 10,000.
   */
  readonly maxCatchUp?: number;
  /** Whether events count as delivered as soon as this client receives them. Default: true. */
  readonly autoDelivered?: boolean;
  /**
   * The WebSocket class to use. Default: the built-in one. Node 20 has none, so pass the class from
   * the `ws` package.
   */
  readonly WebSocket?: SocketConstructor;
}

/**
 * A Client is one user's connection to Parley. It cannot be reused: create a new one after it has
 * ended, or for another user.
 */
export class Client {
  /** The REST API, which uses the client's session. It works without a WebSocket connection. */
  readonly rest: Rest;
  private readonly core: Core;
  private readonly tokens: TokenSource;
  private readonly channelsByID = new Map<string, Channel>();

  constructor(config: ClientConfig = {}) {
    const { url, inPage, tokens, rest } = openAccess(config);
    const WebSocket = config.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined);
    if (!WebSocket) throw new TypeError("this environment has no WebSocket: pass one, such as that of the package ws");
    this.tokens = tokens;
    this.rest = rest;
    this.core = new Core(
      {
        sockets: config.sockets ?? [`ws${url.slice("http".length)}/ws`],
        tokens,
        WebSocket,
        environment: inPage ? browserEnvironment : undefined,
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

  /** Ends the client. Pending sends fail with `closed` but stay in the pending store. */
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

  /** Whether there may be a session. If false, any authenticated request would be refused. */
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

  /**
   * The limits that the server announced when the client connected. The client respects them
   * automatically.
   */
  get limits(): Limits | undefined {
    return this.core.limits;
  }

  on<K extends keyof ClientEvents>(name: K, listener: Listener<ClientEvents[K]>): Off {
    return this.core.emitter.on(name, listener);
  }

  /** Returns the channel with the given id. It always returns the same object for the same id. */
  channel(id: string): Channel {
    let channel = this.channelsByID.get(id);
    if (!channel) this.channelsByID.set(id, (channel = new Channel(id, this.core, this.rest)));
    return channel;
  }

  /** Returns the direct channel with a user; the server creates it if it does not exist. */
  async direct(userID: string): Promise<Channel> {
    const { id } = await this.rest.openDirectChannel({ user_id: userID });
    return this.channel(id);
  }

  /** Returns the followed channels, in no particular order. */
  channels(): Channel[] {
    return [...this.core.subscriptions.tracks.values()].filter((t) => t.summary).map((t) => this.channel(t.id));
  }

  /** Returns the current position in each channel, to pass as `positions` to the next Client. */
  positions(): Record<string, Position> {
    return Object.fromEntries([...this.core.subscriptions.tracks.values()].map((t) => [t.id, { seq: t.pos, epoch: t.epoch }]));
  }

  /**
   * Returns all messages that are not in the log yet: those that are waiting or have failed, and
   * acknowledged ones whose event has not arrived.
   */
  pending(): readonly Pending[] {
    return this.core.outbox.all();
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
