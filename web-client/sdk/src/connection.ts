/** One WebSocket connection, from opening to closing. */

import { CloseError } from "./errors.js";
import { SUBPROTOCOL, type Hello, type ServerFrame } from "./frames.js";

/**
 * The part of the WebSocket interface that the SDK uses. Browsers, Node and the ws package
 * implement it.
 */
export interface SocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number): void;
  addEventListener(type: "open" | "message" | "close" | "error", listener: (event: never) => void): void;
}

export type SocketConstructor = new (url: string, protocols: string[]) => SocketLike;

export interface ConnectionHandlers {
  /** The server has sent hello. */
  greeted(hello: Hello): void;
  /** A frame has arrived after hello. */
  frame(frame: ServerFrame): void;
}

export interface ConnectionEnd {
  readonly greeted: boolean;
  readonly error: Error;
}

const OPEN = 1;
/** Timeout for the upgrade and the hello frame together. */
const HELLO_TIMEOUT_MS = 20_000;
/** Timeout for the response to a ping. */
const PONG_TIMEOUT_MS = 10_000;
const CHECK_INTERVAL_MS = 5_000;

/**
 * Connection is one WebSocket. Scripts cannot see the server's pings. To detect a dead connection,
 * Connection sends a ping of its own when nothing has arrived for the server's heartbeat interval,
 * and closes the WebSocket if there is no response.
 */
export class Connection {
  readonly ended: Promise<ConnectionEnd>;
  private readonly ws: SocketLike;
  private finish: (error: Error) => void = () => {};
  private over = false;
  private greeted = false;
  private lastReceivedAt = Date.now();
  /** True if this client has sent a ping and no frame has arrived since then. */
  private silent = false;
  private heartbeat = HELLO_TIMEOUT_MS;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;

  constructor(
    WebSocket: SocketConstructor,
    url: string,
    accessToken: string | undefined,
    private readonly handlers: ConnectionHandlers,
  ) {
    this.ws = new WebSocket(url, [SUBPROTOCOL]);
    this.ended = new Promise((resolve) => {
      this.finish = (error) => {
        if (this.over) return;
        this.over = true;
        clearTimeout(this.deadline);
        clearInterval(this.watch);
        // The close event fires only when the server has responded, and the server may never
        // respond. So do not wait for the event.
        this.ws.close(1000);
        resolve({ greeted: this.greeted, error });
      };
    });
    this.deadline = setTimeout(() => this.drop(), HELLO_TIMEOUT_MS);
    this.ws.addEventListener("open", () => {
      if (accessToken !== undefined) this.send({ type: "auth", token: accessToken });
    });
    this.ws.addEventListener("message", (event: { data: unknown }) => this.receive(event.data));
    this.ws.addEventListener("close", (event: { code: number; reason: string }) =>
      this.finish(new CloseError(event.code || 1006, event.reason)),
    );
    // A close event with the reason follows the error. Without this listener, the ws package would
    // throw the error.
    this.ws.addEventListener("error", () => {});
  }

  /** Whether frames can be sent. */
  get up(): boolean {
    return !this.over && this.greeted && this.ws.readyState === OPEN;
  }

  send(...frames: readonly object[]): void {
    if (!this.over && this.ws.readyState === OPEN) this.ws.send(frames.map((f) => JSON.stringify(f)).join("\n"));
  }

  /** drop ends the connection immediately, as if it had been lost. */
  drop(): void {
    this.finish(new CloseError(1006, ""));
  }

  /** probe sends a ping and ends the connection if no frame arrives within the timeout. */
  probe(timeout: number = PONG_TIMEOUT_MS): void {
    if (!this.up) return;
    this.silent = true;
    this.send({ type: "ping", ref: "alive" });
    clearTimeout(this.deadline);
    this.deadline = setTimeout(() => {
      this.deadline = undefined;
      if (this.silent) this.drop();
    }, timeout);
  }

  private receive(data: unknown): void {
    if (this.over) return;
    this.lastReceivedAt = Date.now();
    this.silent = false;
    if (typeof data !== "string") return this.finish(new Error("the server sent a binary frame"));
    for (const line of data.split("\n")) {
      if (line.trim() === "" || this.over) continue;
      let frame: ServerFrame;
      try {
        frame = JSON.parse(line) as ServerFrame;
      } catch (error) {
        return this.finish(new Error("the server sent invalid JSON", { cause: error }));
      }
      if (frame.type === "hello") this.greet(frame);
      else if (this.greeted) this.handlers.frame(frame);
      else if (frame.type !== "error") this.finish(new Error(`the first frame is ${frame.type}, not hello`));
    }
  }

  private greet(hello: Hello): void {
    this.greeted = true;
    clearTimeout(this.deadline);
    this.deadline = undefined;
    this.heartbeat = Math.max(hello.heartbeat_seconds, 1) * 1000;
    this.watch = setInterval(() => {
      if (Date.now() - this.lastReceivedAt >= this.heartbeat && this.deadline === undefined) this.probe();
    }, Math.min(CHECK_INTERVAL_MS, this.heartbeat));
    this.handlers.greeted(hello);
  }
}
