/** Staying connected: connect, wait, connect again; and a token that is renewed before it ends. */

import { ceiling, jitter, Wait } from "./backoff.js";
import { ApiError, ClientError, CloseError, retryable } from "./errors.js";
import type { ConnectionState, EndReason } from "./events.js";
import type { Hello, ServerFrame } from "./frames.js";
import { Link, type SocketConstructor } from "./link.js";
import { renewIn, type Token, type TokenSource } from "./tokens.js";

/** A connection that has lasted as long was good. */
const STEADY_MS = 10_000;
/** For the answer to a ping, when there is a reason to think that the connection is lost. */
const PROBE_MS = 4_000;

export interface ConnectionHandlers {
  state(state: ConnectionState): void;
  /** Returns why this connection must not be used, if so. */
  refuses(hello: Hello): EndReason | undefined;
  greeted(hello: Hello): void;
  frame(frame: ServerFrame): void;
  /** What was on its way is lost. */
  lost(): void;
}

/** What the end of a connection means. */
export interface Verdict {
  readonly final?: EndReason;
  /** Another token may help. */
  readonly token?: boolean;
  /** How long the server wants us to wait. 0: it has not said. */
  readonly after: number;
}

/** Decides what the end of a connection means. What is not known to be final is tried again. */
export function judge(error: Error): Verdict {
  if (error instanceof CloseError) {
    const after = reconnectAfter(error.reason);
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

/** Reads the reason of a close. */
function reconnectAfter(reason: string): number {
  try {
    const ms = (JSON.parse(reason) as { reconnect_after_ms?: unknown }).reconnect_after_ms;
    return typeof ms === "number" ? Math.min(Math.max(0, ms), 60_000) : 0;
  } catch {
    return 0;
  }
}

/** What a browser says of its network and of the page; absent elsewhere. */
export interface Surroundings {
  /** The browser says that there is no network. It may be wrong, of a server on the same machine for one. */
  readonly offline: () => boolean;
  /** Calls back when the network comes or goes, or the page is shown again. Returns how to stop. */
  readonly onChange: (changed: () => void) => () => void;
}

interface Attempt {
  readonly greeted: boolean;
  readonly error: Error;
  readonly used: Token | undefined;
}

/** Keeps one Link at a time, until the server says that it is over, or close(). */
export class Connection {
  state: ConnectionState = { name: "offline" };
  private link: Link | undefined;
  private running = false;
  private final: EndReason | undefined;
  private attempts = 0;
  private readonly wait = new Wait();
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private unlisten: (() => void) | undefined;

  constructor(
    private readonly sockets: readonly string[],
    private readonly tokens: TokenSource,
    private readonly WebSocket: SocketConstructor,
    private readonly surroundings: Surroundings | undefined,
    private readonly handlers: ConnectionHandlers,
  ) {}

  start(): void {
    if (this.running || this.final) return;
    this.running = true;
    this.unlisten = this.surroundings?.onChange(() => {
      // Whatever has changed, now is the moment to find out how it is.
      this.link?.probe(PROBE_MS);
      if (!this.surroundings?.offline()) this.wait.wake();
    });
    void this.stay();
  }

  close(): void {
    this.end("closed");
  }

  /** Does not wait any longer. */
  retryNow(): void {
    this.wait.wake();
  }

  get up(): boolean {
    return this.link?.up ?? false;
  }

  send(...frames: readonly object[]): void {
    this.link?.send(...frames);
  }

  /** All that was missed was handed on. */
  caughtUp(): void {
    if (this.state.name === "catching-up") this.become({ name: "up-to-date" });
  }

  private become(state: ConnectionState): void {
    this.state = state;
    this.handlers.state(state);
  }

  private end(reason: EndReason, error?: Error): void {
    if (this.final) return;
    this.final = reason;
    this.unlisten?.();
    this.link?.drop();
    this.wait.wake();
    this.become(error ? { name: "ended", reason, error } : { name: "ended", reason });
  }

  private async stay(): Promise<void> {
    let failures = 0;
    let rejected: Token | undefined; // a token that the server did not take
    let renewed = false; // for that
    while (!this.final) {
      this.become({ name: "connecting", attempt: failures });
      const begun = Date.now();
      const { greeted, error, used } = await this.connect(rejected);
      if (this.final) return;
      const verdict = judge(error);
      // A change of the password has ended the session and begun another one.
      if (verdict.final === "session-revoked" && used && (await this.tokens.replaced(used))) {
        failures = 0;
        continue;
      }
      if (this.final) return;
      // A token that was not taken gets one successor to try.
      const another = verdict.token === true && used !== undefined && (greeted || !renewed);
      if (verdict.token && used) [rejected, renewed] = [used, true];
      else if (greeted) [rejected, renewed] = [undefined, false];
      if (verdict.final && !another) return this.end(verdict.final, error);
      if (greeted && Date.now() - begun > STEADY_MS) failures = 0;
      const wait = verdict.after > 0 ? verdict.after : jitter(ceiling(failures));
      failures++;
      const retryAt = Date.now() + wait;
      if (this.surroundings?.offline()) this.become({ name: "offline", retryAt });
      else this.become({ name: "reconnecting", retryAt, attempt: failures, error });
      await this.wait.sleep(wait);
    }
  }

  /** One connection, from the token to its end. */
  private async connect(rejected: Token | undefined): Promise<Attempt> {
    let used: Token | undefined;
    try {
      const token = await this.tokens.token({ rejected, certain: true });
      used = token;
      if (this.final) return { greeted: false, error: new CloseError(1000, ""), used };
      const address = this.sockets[this.attempts++ % this.sockets.length] ?? "";
      const separator = address.includes("?") ? "&" : "?";
      this.link = new Link(this.WebSocket, `${address}${separator}subscribe=none`, token.access, {
        greeted: (hello) => {
          const refused = this.handlers.refuses(hello);
          if (refused) return this.end(refused);
          this.become({ name: "catching-up" });
          this.renewBefore(token, (next) => (used = next));
          this.handlers.greeted(hello);
        },
        frame: (frame) => this.handlers.frame(frame),
      });
      return { ...(await this.link.ended), used };
    } catch (error) {
      return { greeted: false, error: error instanceof Error ? error : new Error(String(error)), used };
    } finally {
      clearTimeout(this.renewal);
      const had = this.link !== undefined;
      this.link = undefined;
      if (had) this.handlers.lost();
    }
  }

  /** Renews a token before it ends, again and again. A new one in a cookie is told to the gateway by the server. */
  private renewBefore(token: Token, took: (next: Token) => void, failures = 0): void {
    const due = renewIn(token, Date.now());
    if (due === undefined) return;
    const { link } = this;
    this.renewal = setTimeout(
      () => {
        this.tokens.token({ rejected: token, certain: true }).then(
          (next) => {
            if (this.link !== link) return;
            took(next);
            if (next.access !== undefined) this.send({ type: "auth", ref: "renew", token: next.access });
            this.renewBefore(next, took);
          },
          (error: unknown) => {
            // If it is over, the server closes with 4001 when it is time, and then the error comes again.
            if (this.link === link && error instanceof Error && !judge(error).final) this.renewBefore(token, took, failures + 1);
          },
        );
      },
      failures > 0 ? jitter(ceiling(failures)) : due,
    );
  }
}
