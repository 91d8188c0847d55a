/** A TCP proxy between client and server that simulates network failures. */

import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** Proxy forwards TCP connections to a server on this machine. */
export class Proxy {
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private away = false;
  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on("connection", (socket) => this.forward(socket));
  }

  static async before(url: string): Promise<Proxy> {
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return new Proxy(server, Number(new URL(url).port));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** cut closes every connection. */
  cut(): void {
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
  }

  /** offline closes every connection and refuses new ones until back() is called. */
  offline(): void {
    this.away = true;
    this.cut();
  }

  back(): void {
    this.away = false;
  }

  /**
   * swallow discards all further data on the current connections without closing them, like a
   * router that has lost its state.
   */
  swallow(): void {
    for (const [a, b] of this.pairs) {
      for (const [from, to] of [[a, b], [b, a]] as const) {
        from.unpipe(to);
        from.resume();
      }
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((done) => this.server.close(done));
  }

  private forward(socket: Socket): void {
    if (this.away) return void socket.destroy();
    const upstream = connect(this.target, "127.0.0.1");
    const pair = [socket, upstream] as const;
    this.pairs.add(pair);
    for (const side of pair) {
      side.on("error", () => {});
      side.on("close", () => {
        this.pairs.delete(pair);
        for (const other of pair) other.destroy();
      });
    }
    socket.pipe(upstream).pipe(socket);
    socket.resume();
  }
}
