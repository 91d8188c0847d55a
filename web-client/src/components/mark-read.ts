/**
 * useMarkRead marks the channel as read while its newest message is in view and the page has focus.
 */

import { useEffect } from "preact/hooks";

import type { ChannelState } from "../state/channel-state";
import { placing } from "../state/compose";

const pageFocused = (): boolean => document.visibilityState === "visible" && document.hasFocus();

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
      // Check again, because another position may have been requested since the list was rendered.
      if (!placing.peek() && pageFocused() && state.handle.followed && seq > state.handle.readSeq) {
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
