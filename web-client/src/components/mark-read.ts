/**
 * useMarkRead marks messages as read while they are on screen, the page has the focus, and no
 * dialog covers them.
 */

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

import type { ChannelState } from "../state/channel-state";
import { placing } from "../state/compose";
import { covered } from "../state/dialog";
import { sawMessages } from "../state/reading";

/**
 * THRESHOLDS are the visible fractions of a row at which the observer reports it. Each fraction is
 * half of the previous one, so that a row of any height is reported before it fills the whole view.
 */
const THRESHOLDS = [0, ...Array.from({ length: 11 }, (_, i) => 0.5 ** i)];

const pageFocused = (): boolean => document.visibilityState === "visible" && document.hasFocus();

/** A message is on screen if half of it is visible, or if it fills half of the view. */
function onScreen({ isIntersecting, boundingClientRect, intersectionRect, rootBounds }: IntersectionObserverEntry): boolean {
  const view = rootBounds?.height ?? boundingClientRect.height;
  return isIntersecting && intersectionRect.height >= Math.min(boundingClientRect.height, view) / 2;
}

export function useMarkRead(state: ChannelState, scroller: RefObject<HTMLElement | null>): void {
  const observing = useRef<{ readonly observer: IntersectionObserver; readonly mark: () => void } | undefined>(undefined);
  // While the list is scrolling to its initial position, it may briefly show other messages. Do not
  // mark them as read.
  const placed = !placing.value;
  useEffect(() => {
    if (!placed) {
      return undefined;
    }
    const visible = new Set<number>();
    const mark = (): void => {
      if (pageFocused() && !covered.peek()) {
        sawMessages(state, visible);
      }
    };
    const observer = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const seq = Number(entry.target.getAttribute("data-seq"));
          if (onScreen(entry)) {
            visible.add(seq);
          } else {
            visible.delete(seq);
          }
          if (!entry.target.isConnected) {
            observer.unobserve(entry.target);
          }
        }
        mark();
      },
      { root: scroller.current, threshold: THRESHOLDS },
    );
    observing.current = { observer, mark };
    addEventListener("focus", mark);
    document.addEventListener("visibilitychange", mark);
    return () => {
      observing.current = undefined;
      observer.disconnect();
      removeEventListener("focus", mark);
      document.removeEventListener("visibilitychange", mark);
    };
  }, [state, placed]);
  // Observe all rows after every render, because a render may add rows. Observing a row again has
  // no effect.
  useEffect(() => {
    for (const row of scroller.current?.querySelectorAll("[data-seq]") ?? []) {
      observing.current?.observer.observe(row);
    }
  });
  const log = state.log.value;
  const unread = state.unread.value;
  const uncovered = !covered.value;
  useEffect(() => observing.current?.mark(), [log, unread, uncovered]);
}
