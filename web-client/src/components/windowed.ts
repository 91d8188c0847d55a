/**
 * Windowed scrolling: of a long list of rows only those around the view are elements. Heights are measured when a row
 * is shown, and guessed before; whatever comes, goes or turns out to be higher, the row that the user looks at stays
 * where it is. At the end, the list stays at the end.
 */

import { type RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { type Anchor, anchorAt, offsetsOf, type Range, rangeOf, topFor, topToReveal } from "../lib/window";

/** More rows than this are never in the document, whatever the size of the screen. */
const MOST_ROWS = 100;
const OVERSCAN = 500;
/** This near to the end is at the end. */
const END_SLACK = 32;

interface Item {
  readonly key: string;
}

export interface Windowed {
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly range: Range;
  /** Where the first row that is shown begins, and how high the whole list is. */
  readonly top: number;
  readonly total: number;
  readonly atEnd: boolean;
  readonly onScroll: () => void;
  /** Brings a row into sight: in the middle, or by no more than is needed. */
  readonly reveal: (key: string, how: "centre" | "nearest") => void;
  readonly toEnd: () => void;
  /** Pixels above and below the view. */
  readonly above: () => number;
  readonly below: () => number;
}

interface Position {
  anchor: Anchor | undefined;
  /** The view is at the end and stays there. */
  stuck: boolean;
}

export function useWindow<T extends Item>(rows: readonly T[], estimate: (row: T) => number): Windowed {
  const scroller = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const position = useRef<Position>({ anchor: undefined, stuck: true });
  const [measured, setMeasured] = useState(0);
  const [view, setView] = useState({ top: Number.MAX_SAFE_INTEGER, height: 800, atEnd: true });

  const offsets = useMemo(
    () =>
      offsetsOf(rows.length, (i) => {
        const row = rows[i];
        return row === undefined ? 0 : (heights.current.get(row.key) ?? estimate(row));
      }),
    [rows, measured],
  );
  const indexes = useMemo(() => new Map(rows.map((row, i) => [row.key, i])), [rows]);
  const range = rangeOf(offsets, view.top, view.height, OVERSCAN, MOST_ROWS);
  const total = offsets.at(-1) ?? 0;

  const look = (): void => {
    const element = scroller.current;
    if (element !== null) {
      const { scrollTop, clientHeight } = element;
      const atEnd = scrollTop + clientHeight >= total - END_SLACK;
      setView((was) => (was.top === scrollTop && was.height === clientHeight && was.atEnd === atEnd ? was : { top: scrollTop, height: clientHeight, atEnd }));
    }
  };

  /** Puts the view where it belongs after rows or heights have changed. */
  const settle = (): void => {
    const element = scroller.current;
    if (element === null) {
      return;
    }
    const { anchor, stuck } = position.current;
    const index = anchor === undefined ? undefined : indexes.get(anchor.key);
    const wanted = stuck
      ? total - element.clientHeight
      : anchor === undefined || index === undefined
        ? element.scrollTop
        : topFor(offsets, index, anchor, element.clientHeight);
    if (Math.abs(element.scrollTop - wanted) >= 1) {
      element.scrollTop = wanted;
    }
    look();
  };

  const measure = (): void => {
    let changed = false;
    for (const element of scroller.current?.querySelectorAll<HTMLElement>("[data-row]") ?? []) {
      const key = element.dataset["row"] ?? "";
      const height = element.getBoundingClientRect().height;
      if (height > 0 && Math.abs((heights.current.get(key) ?? 0) - height) >= 0.5) {
        heights.current.set(key, height);
        changed = true;
      }
    }
    if (changed) {
      setMeasured((n) => n + 1);
    }
  };

  // After every drawing: what was shown is measured, and the view is put right before anybody sees it.
  useLayoutEffect(() => {
    settle();
    measure();
  });

  // Rows grow without being drawn anew (an edit field, a font), and the view changes its size.
  const onResize = useRef<() => void>(() => undefined);
  onResize.current = () => {
    measure();
    settle();
  };
  useLayoutEffect(() => {
    const element = scroller.current;
    const content = element?.firstElementChild;
    if (element === null || content === null || content === undefined) {
      return undefined;
    }
    let width = element.clientWidth;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth !== width) {
        // Everything wraps anew: what was measured is worth no more than a guess.
        width = element.clientWidth;
        heights.current.clear();
        setMeasured((n) => n + 1);
      }
      onResize.current();
    });
    observer.observe(element);
    observer.observe(content);
    return () => observer.disconnect();
  }, []);

  const onScroll = (): void => {
    const element = scroller.current;
    if (element === null) {
      return;
    }
    const stuck = element.scrollTop + element.clientHeight >= total - END_SLACK;
    position.current = { stuck, anchor: anchorAt(offsets, element.scrollTop, (i) => rows[i]?.key) };
    look();
  };

  const reveal = (key: string, how: "centre" | "nearest"): void => {
    const element = scroller.current;
    const index = indexes.get(key);
    if (element === null || index === undefined) {
      return;
    }
    const begin = offsets[index] ?? 0;
    const top = how === "centre" ? begin - element.clientHeight / 3 : topToReveal(offsets, index, element.scrollTop, element.clientHeight);
    position.current = { stuck: false, anchor: { key, offset: begin - top } };
    settle();
  };

  const toEnd = (): void => {
    position.current = { stuck: true, anchor: undefined };
    settle();
  };

  return {
    scroller,
    range,
    top: offsets[range.first] ?? 0,
    total,
    atEnd: view.atEnd,
    onScroll,
    reveal,
    toEnd,
    above: () => scroller.current?.scrollTop ?? 0,
    below: () => total - (scroller.current?.scrollTop ?? 0) - (scroller.current?.clientHeight ?? 0),
  };
}
