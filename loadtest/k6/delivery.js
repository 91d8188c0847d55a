// Tests only delivery: all users are connected, and the first member of each channel sends a message every second. It
// fails if too few messages arrive, or too late.
//
//   make k6 K6_SCRIPT=delivery
import { setInterval, clearInterval, setTimeout } from 'k6/timers';
import { Connection, me, seconds, users } from './parley.js';

export const options = {
  scenarios: {
    everybody: { executor: 'per-vu-iterations', vus: users.length, iterations: 1, maxDuration: `${seconds + 30}s` },
  },
  thresholds: {
    parley_opened: ['rate==1'],
    parley_acked: ['rate>0.999'],
    parley_in_order: ['rate==1'],
    parley_delivery_ms: ['p(50)<50', 'p(99)<250'],
    parley_deliveries: ['count>0'],
  },
};

// speaks returns whether a user is the first of their channel.
const speaks = (user) => users.find((u) => u.channel_id === user.channel_id).token === user.token;

export default function () {
  const user = me();
  let talking;
  const connection = new Connection(user, {
    hello(c) {
      if (speaks(user)) talking = setInterval(() => c.send(), 1000);
    },
    closed() {
      clearInterval(talking);
    },
  });
  setTimeout(() => clearInterval(talking), seconds * 1000);
  setTimeout(() => connection.close(), (seconds + 2) * 1000); // lets the last messages arrive
}
