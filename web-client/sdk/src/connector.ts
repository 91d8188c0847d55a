/**
 * Keeps the client connected: connects, backs off and reconnects, and renews tokens before they
 * expire.
 */

import { ceiling, jitter, Wait } from "./backoff.js";
import { ApiError, ClientError, CloseError, retryable } from "./errors.js";
import type { ConnectionState, EndReason } from "./events.js";
import type { Hello, ServerFrame } from "./frames.js";
import { Connection, type SocketConstructor } from "./connection.js";
import { renewIn, type Token, type TokenSource } from "./tokens.js";

/** After a connection that lasted longer than this, the backoff restarts from its minimum. */
const STEADY_CONNECTION_MS = 10_000;
/**
 * Timeout for a pong after a change of the network or of the page's visibility. It is short,
 * because the connection may have been lost.
 */
const PROBE_TIMEOUT_MS = 4_000;

export interface ConnectorHandlers {
  state(state: ConnectionState): void;
  /** Returns the reason why the client must not use this connection, or undefined. */
  refuses(hello: Hello): EndReason | undefined;
  greeted(hello: Hello): void;
  frame(frame: ServerFrame): void;
  /** The connection has ended, and frames in transit may have been lost. */
  lost(): void;
}

/** Verdict describes what to do after a connection has ended. */
export interface Verdict {
  readonly final?: EndReason;
  /** Whether a connection with a new access token may succeed. */
  readonly token?: boolean;
  /** The delay in milliseconds that the server requested; 0 if it requested none. */
  readonly after: number;
}

/**
 * classify returns what to do after a connection has ended with the given error. The client
 * reconnects after every error that is not known to be final.
 */
export function classify(error: Error): Verdict {
  if (error instanceof CloseError) {
    const after = reconnectDelay(error.reason);
    const { code } = error;
    if (code === 4001) return { token: true, after };
    if (code === 4501) return { token: true, final: "unauthenticated", after };
    if (code === 4509) return { final: "session-revoked", after };
    if ((code >= 4500 && code < 5000) || code === 1007 || code === 1008 || code === 1009) return { final: "refused", after };
    return { after };
  }
  if (error instanceof ApiError && !retryable(error.code)) {
    return { final: error.status === 401 ? "unauthenticated" : "refused", after: 0 };
  }
  return { after: error instanceof ClientError ? error.retryAfterMs : 0 };
}

/** reconnectDelay returns the delay given in the close reason, capped at one minute. */
function reconnectDelay(reason: string): number {
  try {
    const ms = (JSON.parse(reason) as { reconnect_after_ms?: unknown }).reconnect_after_ms;
    return typeof ms === "number" ? Math.min(Math.max(0, ms), 60_000) : 0;
  } catch {
    return 0;
  }
}

/**
 * Environment reports the state of the browser's network and page. It is absent outside browsers.
 */
export interface Environment {
  /**
   * Whether the browser reports that it is offline. It may be wrong, for example if the server runs
   * on the same machine.
   */
  readonly offline: () => boolean;
  /**
   * Calls `changed` when the network changes or the page becomes visible. Returns a function that
   * removes the listeners.
   */
  readonly onChange: (changed: () => void) => () => void;
}

interface Attempt {
  readonly greeted: boolean;
  readonly error: Error;
  readonly token: Token | undefined;
}

/**
 * Connector keeps one Connection open at a time until the server ends the session or close() is
 * called.
 */
export class Connector {
  state: ConnectionState = { name: "offline" };
  private connection: Connection | undefined;
  private running = false;
  private endReason: EndReason | undefined;
  private attempts = 0;
  private readonly wait = new Wait();
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private unlisten: (() => void) | undefined;

  constructor(
    private readonly sockets: readonly string[],
    private readonly tokens: TokenSource,
    private readonly WebSocket: SocketConstructor,
    private readonly environment: Environment | undefined,
    private readonly handlers: ConnectorHandlers,
  ) {}

  start(): void {
    if (this.running || this.endReason) return;
    this.running = true;
    this.unlisten = this.environment?.onChange(() => {
      // The network or the page's visibility has changed: check whether the connection still works.
      this.connection?.probe(PROBE_TIMEOUT_MS);
      if (!this.environment?.offline()) this.wait.wake();
    });
    void this.run();
  }

  close(): void {
    this.end("closed");
  }

  /** retryNow ends the current wait, if any. */
  retryNow(): void {
    this.wait.wake();
  }

  get up(): boolean {
    return this.connection?.up ?? false;
  }

  send(...frames: readonly object[]): void {
    this.connection?.send(...frames);
  }

  /** caughtUp records that all missed events have been delivered. */
  caughtUp(): void {
    if (this.state.name === "catching-up") this.setState({ name: "up-to-date" });
  }

  private setState(state: ConnectionState): void {
    this.state = state;
    this.handlers.state(state);
  }

  private end(reason: EndReason, error?: Error): void {
    if (this.endReason) return;
    this.endReason = reason;
    this.unlisten?.();
    this.connection?.drop();
    this.wait.wake();
    this.setState(error ? { name: "ended", reason, error } : { name: "ended", reason });
  }

  private async run(): Promise<void> {
    let failures = 0;
    let rejected: Token | undefined; // the last token that the server refused
    let renewed = false; // whether rejected has been replaced by a renewed token
    while (!this.endReason) {
      this.setState({ name: "connecting", attempt: failures });
      const startedAt = Date.now();
      const { greeted, error, token } = await this.connect(rejected);
      if (this.endReason) return;
      const verdict = classify(error);
      // A password change ends the session and starts a new one, so reconnect with the new token.
      if (verdict.final === "session-revoked" && token && (await this.tokens.replacementFor(token))) {
        failures = 0;
        continue;
      }
      if (this.endReason) return;
      // If a token was refused, try again once with a renewed token.
      const retryWithNewToken = verdict.token === true && token !== undefined && (greeted || !renewed);
      if (verdict.token && token) [rejected, renewed] = [token, true];
      else if (greeted) [rejected, renewed] = [undefined, false];
      if (verdict.final && !retryWithNewToken) return this.end(verdict.final, error);
      if (greeted && Date.now() - startedAt > STEADY_CONNECTION_MS) failures = 0;
      const wait = verdict.after > 0 ? verdict.after : jitter(ceiling(failures));
      failures++;
      const retryAt = Date.now() + wait;
      if (this.environment?.offline()) this.setState({ name: "offline", retryAt });
      else this.setState({ name: "reconnecting", retryAt, attempt: failures, error });
      await this.wait.sleep(wait);
    }
  }

  /** connect runs one connection, from requesting a token until the connection ends. */
  private async connect(rejected: Token | undefined): Promise<Attempt> {
    let token: Token | undefined;
    try {
      const initial = await this.tokens.token({ rejected, fresh: true });
      token = initial;
      if (this.endReason) return { greeted: false, error: new CloseError(1000, ""), token };
      const address = this.sockets[this.attempts++ % this.sockets.length] ?? "";
      const separator = address.includes("?") ? "&" : "?";
      this.connection = new Connection(this.WebSocket, `${address}${separator}subscribe=none`, initial.access, {
        greeted: (hello) => {
          const refused = this.handlers.refuses(hello);
          if (refused) return this.end(refused);
          this.setState({ name: "catching-up" });
          this.renewBefore(initial, (next) => (token = next));
          this.handlers.greeted(hello);
        },
        frame: (frame) => this.handlers.frame(frame),
      });
      return { ...(await this.connection.ended), token };
    } catch (error) {
      return { greeted: false, error: error instanceof Error ? error : new Error(String(error)), token };
    } finally {
      clearTimeout(this.renewal);
      const had = this.connection !== undefined;
      this.connection = undefined;
      if (had) this.handlers.lost();
    }
  }

  /**
   * renewBefore renews the token before it expires, and then schedules the next renewal. If the
   * tokens are in cookies, chat-service informs the gateway of the new expiry; otherwise, this
   * client sends the new token in an auth frame.
   */
  private renewBefore(token: Token, onRenewed: (next: Token) => void, failures = 0): void {
    const due = renewIn(token, Date.now());
    if (due === undefined) return;
    const { connection } = this;
    this.renewal = setTimeout(
      () => {
        this.tokens.token({ rejected: token, fresh: true }).then(
          (next) => {
            if (this.connection !== connection) return;
            onRenewed(next);
            if (next.access !== undefined) this.send({ type: "auth", ref: "renew", token: next.access });
            this.renewBefore(next, onRenewed);
          },
          (error: unknown) => {
            // If the session is over, do not try again. The server closes the connection with 4001
            // when the token expires, and the client's next request for a token fails with the same
            // error.
            if (this.connection === connection && error instanceof Error && !classify(error).final) this.renewBefore(token, onRenewed, failures + 1);
          },
        );
      },
      failures > 0 ? jitter(ceiling(failures)) : due,
    );
  }
}
