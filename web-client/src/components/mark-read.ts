/** Says that the channel is read: when its newest message is in sight, of a page that somebody looks at. */

import { useEffect } from "preact/hooks";

import type { ChannelState } from "../state/channel-state";
import { placing } from "../state/compose";

const looked = (): boolean => document.visibilityState === "visible" && document.hasFocus();

export function useMarkRead(state: ChannelState, newestInSight: boolean): void {
  const log = state.log.value;
  const unread = state.unread.value;
  const placed = !placing.value;
  useEffect(() => {
    if (!newestInSight) {
      return undefined;
    }
    const mark = (): void => {
      const seq = state.handle.position?.seq ?? 0;
      // Asked anew: the list may have been drawn before it was told to go elsewhere.
      if (!placing.peek() && looked() && state.handle.followed && seq > state.handle.readSeq) {
        state.handle.markRead(seq);
      }
    };
    mark();
    addEventListener("focus", mark);
    document.addEventListener("visibilitychange", mark);
    return () => {
      removeEventListener("focus", mark);
      document.removeEventListener("visibilitychange", mark);
    };
  }, [state, newestInSight, placed, log, unread]);
}
