export interface Sent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** FakeSocket is a WebSocket for which the test acts as the server. */
export class FakeSocket {
  static last: FakeSocket;
  readonly sent: Sent[] = [];
  readyState = 1;
  closed = false;
  private readonly listeners = new Map<string, (event: never) => void>();
  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.last = this;
  }
  send(data: string): void {
    for (const line of data.split("\n")) this.sent.push(JSON.parse(line) as Sent);
  }
  close(): void {
    this.closed = true;
  }
  addEventListener(type: string, listener: (event: never) => void): void {
    this.listeners.set(type, listener);
  }
  emit(type: string, event: object = {}): void {
    this.listeners.get(type)?.(event as never);
  }
  frames(...frames: object[]): void {
    this.emit("message", { data: frames.map((f) => JSON.stringify(f)).join("\n") });
  }
}
