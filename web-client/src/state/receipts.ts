/** The members who have read this user's messages: see `lib/readers.ts`. */

import type { LoggedMessage } from "../lib/log";
import { progressOf, withCounts, withPosition } from "../lib/readers";
import type { ChannelState } from "./channel-state";
import { sdk } from "./client";
import { myID } from "./me";

/**
 * The number of receipts per page. One page is enough for all members of a small channel. The
 * client then knows each member's position and can add later receipts to the message's counts.
 */
const PAGE = 200;

/**
 * requestReaders requests the receipts of the user's newest message, because receipts are not
 * replayed. If not all members have read it, requestReaders searches for the newest message that
 * all members have read.
 */
export async function requestReaders(state: ChannelState): Promise<void> {
  const me = myID();
  const own = (state.log.peek()?.messages ?? []).filter((m) => m.sender_id === me && m.deleted_at === null);
  // All members have read the messages before `low`; at least one member has not read the message
  // at `high`.
  let low = 0;
  let high = own.length;
  for (let at = high - 1; low < high; at = (low + high) >> 1) {
    const message = own[at];
    if (message === undefined || (await readByAll(state, message))) {
      low = at + 1;
    } else {
      high = at;
    }
  }
}

async function readByAll(state: ChannelState, message: LoggedMessage): Promise<boolean> {
  const { seq } = message;
  if (seq <= state.readers.peek().allRead) {
    return true;
  }
  const { items, delivered_count, read_count, member_count } = await sdk().rest.listReceipts(state.id, message.id, { limit: PAGE });
  const counted = withCounts(state.readers.peek(), seq, delivered_count, read_count, member_count);
  state.readers.value = items.reduce((readers, member) => (member.read ? withPosition(readers, member.user_id, seq, seq) : readers), counted);
  return progressOf(state.readers.peek(), seq, member_count).status === "read";
}
