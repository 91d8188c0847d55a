// A company at work: some users send messages, most only receive, some type, some connect and disconnect, and some lose
// their connection and resume.
//
//   make k6
import { setInterval, clearInterval, setTimeout } from 'k6/timers';
import { Connection, me, seconds, users } from './parley.js';

const part = (of) => Math.max(Math.round(users.length * of), 1);
const whole = (exec, vus) => ({ executor: 'per-vu-iterations', exec, vus, iterations: 1, maxDuration: `${seconds + 30}s` });
const again = (exec, vus) => ({ executor: 'constant-vus', exec, vus, duration: `${seconds}s`, gracefulStop: '10s' });

export const options = {
  scenarios: {
    receivers: whole('receive', part(0.6)),
    senders: whole('send', part(0.1)),
    typing: whole('type', part(0.1)),
    churn: again('churn', part(0.1)),
    reconnect: whole('reconnect', part(0.1)),
  },
  thresholds: {
    parley_opened: ['rate>0.99'],
    parley_acked: ['rate>0.99'],
    parley_in_order: ['rate==1'],
    parley_delivery_ms: ['p(99)<500'],
  },
};

// repeat performs an action on a connection periodically until the time is over, then closes the
// connection.
function repeat(every, what) {
  let repeating;
  const connection = new Connection(me(), {
    hello(c) {
      if (every) repeating = setInterval(() => what(c), every);
    },
    closed() {
      clearInterval(repeating);
    },
  });
  setTimeout(() => clearInterval(repeating), seconds * 1000);
  setTimeout(() => connection.close(), (seconds + 2) * 1000);
}

// receive listens, and reports its read position every two seconds.
export function receive() {
  repeat(2000, (c) => {
    if (c.last) c.write({ type: 'read', seq: c.last });
  });
}

// send sends a message every second, well below the limit of 20 in 10 s.
export function send() {
  repeat(1000, (c) => c.send());
}

// type starts typing every three seconds and never sends a message.
export function type() {
  let on = false;
  repeat(1500, (c) => {
    on = !on;
    c.write({ type: 'typing', typing: on });
  });
}

// churn connects, stays for two seconds, and disconnects.
export function churn() {
  const connection = new Connection(me());
  setTimeout(() => connection.close(), 2000);
}

// reconnect disconnects every three seconds and then resumes. Events that it misses or sees twice
// fail the metric parley_in_order.
export function reconnect() {
  const end = Date.now() + seconds * 1000;
  let last = 0;
  const connect = () => {
    const connection = new Connection(
      me(),
      {
        hello(c, frame) {
          const channel = frame.channels.find((one) => one.channel_id === c.user.channel_id);
          c.last = last || channel.last_seq;
          c.write({ type: 'subscribe', ref: 's', last_seen_seq: c.last });
        },
        event(c) {
          last = c.last;
        },
        closed() {
          if (Date.now() < end) setTimeout(connect, 500);
        },
      },
      '?subscribe=none',
    );
    setTimeout(() => connection.close(), 3000);
  };
  connect();
}
