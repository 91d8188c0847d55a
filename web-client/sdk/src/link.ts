/** One WebSocket, from its opening to its end. */

import { CloseError } from "./errors.js";
import { SUBPROTOCOL, type Hello, type ServerFrame } from "./frames.js";

/** What the SDK needs of a WebSocket: a browser's, Node's or that of the package ws. */
export interface SocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number): void;
  addEventListener(type: "open" | "message" | "close" | "error", listener: (event: never) => void): void;
}

export type SocketConstructor = new (url: string, protocols: string[]) => SocketLike;

export interface LinkHandlers {
  /** The server has greeted us. */
  greeted(hello: Hello): void;
  /** A frame after the greeting. */
  frame(frame: ServerFrame): void;
}

export interface LinkEnd {
  readonly greeted: boolean;
  readonly error: Error;
}

const OPEN = 1;
/** For the upgrade and the greeting. */
const GREETED_WITHIN_MS = 20_000;
/** For the answer to a ping. */
const PONG_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 5_000;

/**
 * A Link is one connection. A page does not see the server's pings, so the link sends some of its own when
 * nothing has come for as long as the server's heartbeat, and ends when they are not answered: a connection
 * that was lost on the way tells nobody.
 */
export class Link {
  readonly ended: Promise<LinkEnd>;
  private readonly ws: SocketLike;
  private finish: (error: Error) => void = () => {};
  private over = false;
  private greeted = false;
  private heard = Date.now();
  /** Nothing has come since the last probe. */
  private silent = false;
  private heartbeat = GREETED_WITHIN_MS;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;

  constructor(
    WebSocket: SocketConstructor,
    url: string,
    accessToken: string | undefined,
    private readonly handlers: LinkHandlers,
  ) {
    this.ws = new WebSocket(url, [SUBPROTOCOL]);
    this.ended = new Promise((resolve) => {
      this.finish = (error) => {
        if (this.over) return;
        this.over = true;
        clearTimeout(this.deadline);
        clearInterval(this.watch);
        // close() waits for the other side, which may be gone: nobody waits for close().
        this.ws.close(1000);
        resolve({ greeted: this.greeted, error });
      };
    });
    this.deadline = setTimeout(() => this.drop(), GREETED_WITHIN_MS);
    this.ws.addEventListener("open", () => {
      if (accessToken !== undefined) this.send({ type: "auth", token: accessToken });
    });
    this.ws.addEventListener("message", (event: { data: unknown }) => this.take(event.data));
    this.ws.addEventListener("close", (event: { code: number; reason: string }) =>
      this.finish(new CloseError(event.code || 1006, event.reason)),
    );
    // What an error was is told by close, which follows; without a listener the package ws would throw it.
    this.ws.addEventListener("error", () => {});
  }

  /** Whether frames can be sent. */
  get up(): boolean {
    return !this.over && this.greeted && this.ws.readyState === OPEN;
  }

  send(...frames: readonly object[]): void {
    if (!this.over && this.ws.readyState === OPEN) this.ws.send(frames.map((f) => JSON.stringify(f)).join("\n"));
  }

  /** Ends the connection without a word of why. */
  drop(): void {
    this.finish(new CloseError(1006, ""));
  }

  /** Asks the server whether it is there, and ends the connection when it does not say so in time. */
  probe(within: number = PONG_WITHIN_MS): void {
    if (!this.up) return;
    this.silent = true;
    this.send({ type: "ping", ref: "alive" });
    clearTimeout(this.deadline);
    this.deadline = setTimeout(() => {
      this.deadline = undefined;
      if (this.silent) this.drop();
    }, within);
  }

  private take(data: unknown): void {
    if (this.over) return;
    this.heard = Date.now();
    this.silent = false;
    if (typeof data !== "string") return this.finish(new Error("the server has sent a binary frame"));
    for (const line of data.split("\n")) {
      if (line.trim() === "" || this.over) continue;
      let frame: ServerFrame;
      try {
        frame = JSON.parse(line) as ServerFrame;
      } catch (error) {
        return this.finish(new Error("the server has sent what is no JSON", { cause: error }));
      }
      if (frame.type === "hello") this.greet(frame);
      else if (this.greeted) this.handlers.frame(frame);
      else if (frame.type !== "error") this.finish(new Error(`the server begins with ${frame.type}`));
    }
  }

  private greet(hello: Hello): void {
    this.greeted = true;
    clearTimeout(this.deadline);
    this.deadline = undefined;
    this.heartbeat = Math.max(hello.heartbeat_seconds, 1) * 1000;
    this.watch = setInterval(() => {
      if (Date.now() - this.heard >= this.heartbeat && this.deadline === undefined) this.probe();
    }, Math.min(LOOK_EVERY_MS, this.heartbeat));
    this.handlers.greeted(hello);
  }
}
