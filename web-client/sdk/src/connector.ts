/**
 * Staying connected: connecting, backing off and reconnecting, and renewing tokens before they
 * expire.
 */

import { ceiling, jitter, Wait } from "./backoff.js";
import { ApiError, ClientError, CloseError, retryable } from "./errors.js";
import type { ConnectionState, EndReason } from "./events.js";
import type { Hello, ServerFrame } from "./frames.js";
import { Connection, type SocketConstructor } from "./connection.js";
import { renewIn, type Token, type TokenSource } from "./tokens.js";

/** After a connection of at least this duration, the backoff starts again from its minimum. */
const STEADY_CONNECTION_MS = 10_000;
/**
 * Timeout for a pong when the network or the page's visibility has changed, so the connection may
 * be lost.
 */
const PROBE_TIMEOUT_MS = 4_000;

export interface ConnectorHandlers {
  state(state: ConnectionState): void;
  /** Returns the reason not to use this connection, or undefined. */
  refuses(hello: Hello): EndReason | undefined;
  greeted(hello: Hello): void;
  frame(frame: ServerFrame): void;
  /** The connection is lost, and with it everything that was in transit. */
  lost(): void;
}

/** Verdict describes what to do after a connection has ended. */
export interface Verdict {
  readonly final?: EndReason;
  /** A new access token may help. */
  readonly token?: boolean;
  /** The delay in milliseconds that the server asked for; 0 if it did not ask for one. */
  readonly after: number;
}

/**
 * classify determines what the end of a connection means. Anything that is not known to be final is
 * retried.
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

/** reconnectDelay reads the delay from the close reason, limited to one minute. */
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
   * Whether the browser reports no network. It may be wrong, for example for a server on the same
   * machine.
   */
  readonly offline: () => boolean;
  /**
   * Calls back when the network changes or the page becomes visible. Returns a function that stops
   * this.
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
      // After any change, check at once whether the connection still works.
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

  /** caughtUp records that all missed events were delivered. */
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
      // A password change ends the session and starts another one.
      if (verdict.final === "session-revoked" && token && (await this.tokens.replacementFor(token))) {
        failures = 0;
        continue;
      }
      if (this.endReason) return;
      // After a refused token, one renewed token is tried.
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

  /** connect runs one connection, from requesting a token until it ends. */
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
   * renewBefore renews the token before it expires, repeatedly. For tokens in cookies, the server
   * itself notifies the gateway.
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
            // If the session is over, the server closes with 4001 when the token expires, and the
            // error recurs then.
            if (this.connection === connection && error instanceof Error && !classify(error).final) this.renewBefore(token, onRenewed, failures + 1);
          },
        );
      },
      failures > 0 ? jitter(ceiling(failures)) : due,
    );
  }
}
