// Shared by the scripts: users, connections and metrics.
//
// PARLEY_WS     the gateway, ws://host:port without a path
// PARLEY_USERS  a file: [{"token": "…", "channel_id": "…"}, …], ordered by channel; get a token from
//               POST /v1/login with "session":"bearer"
import { WebSocket } from 'k6/websockets';
import { SharedArray } from 'k6/data';
import { Counter, Rate, Trend } from 'k6/metrics';
import exec from 'k6/execution';

const gateway = __ENV.PARLEY_WS || 'ws://127.0.0.1:8080';
export const users = new SharedArray('users', () => JSON.parse(open(__ENV.PARLEY_USERS)));
export const seconds = Number(__ENV.SECONDS || 30);

export const metrics = {
  opened: new Rate('parley_opened'), // connections that got their hello
  acked: new Rate('parley_acked'), // sends that were acknowledged
  inOrder: new Rate('parley_in_order'), // events that arrived in the order of their seqs
  delivery: new Trend('parley_delivery_ms', true), // from send to receipt, by the clock of this machine
  ack: new Trend('parley_ack_ms', true),
  deliveries: new Counter('parley_deliveries'),
};

// me returns the user of this virtual user (VU).
export const me = () => users[(exec.vu.idInTest - 1) % users.length];

// Connection is one WebSocket that checks the events of one channel. on may contain the callbacks
// hello, event and closed.
export class Connection {
  constructor(user, on = {}, query = '') {
    this.user = user;
    this.last = 0; // the last seen seq; 0: none yet
    this.waiting = new Map(); // time of each unacknowledged send, by its ref
    this.refs = 0;
    this.live = Date.now(); // earlier messages are replayed and have no latency
    this.open = false;
    this.socket = new WebSocket(`${gateway}/ws${query}`, null, { headers: { Authorization: `Bearer ${user.token}` } });
    this.socket.onmessage = (e) => {
      for (const line of e.data.split('\n')) this.take(JSON.parse(line), on);
    };
    this.socket.onerror = () => {}; // a close event follows
    this.socket.onclose = () => {
      if (!this.open) metrics.opened.add(false);
      for (const _ of this.waiting.values()) metrics.acked.add(false);
      this.waiting.clear();
      if (on.closed) on.closed(this);
    };
  }

  take(frame, on) {
    switch (frame.type) {
      case 'hello':
        this.open = true;
        metrics.opened.add(true);
        if (on.hello) on.hello(this, frame);
        break;
      case 'ack':
        metrics.acked.add(true);
        metrics.ack.add(Date.now() - this.waiting.get(frame.ref));
        this.waiting.delete(frame.ref);
        break;
      case 'error':
        if (this.waiting.delete(frame.ref)) metrics.acked.add(false);
        break;
      default:
        if (frame.seq && frame.channel_id === this.user.channel_id && frame.sent_at) this.event(frame, on);
    }
  }

  event(frame, on) {
    if (this.last) metrics.inOrder.add(frame.seq === this.last + 1);
    this.last = frame.seq;
    metrics.deliveries.add(1);
    const said = Number.parseInt(frame.body, 10);
    if (said >= this.live) metrics.delivery.add(Date.now() - said);
    if (on.event) on.event(this, frame);
  }

  write(frame) {
    this.socket.send(JSON.stringify({ channel_id: this.user.channel_id, ...frame }));
  }

  send() {
    const now = Date.now();
    const ref = String(++this.refs);
    this.waiting.set(ref, now);
    this.write({ type: 'send', ref, client_id: crypto.randomUUID(), body: `${now} sent by k6` });
  }

  close() {
    this.socket.close();
  }
}
