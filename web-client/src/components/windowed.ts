/**
 * A windowed list: only the rows in or near the view are in the document. A row's height is
 * estimated until the row is shown and can be measured. When rows are added or removed or change
 * height, the row at the top of the view stays in place. If the view is at the end, it stays at the
 * end.
 */

import { type RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { type Anchor, anchorAt, offsetsOf, type Range, rangeOf, topFor, topToReveal } from "../lib/window";

/** MAX_ROWS limits the number of rows in the document, regardless of the screen size. */
const MAX_ROWS = 100;
const OVERSCAN = 500; // pixels rendered above and below the view
/** The distance from the end, in pixels, within which the view counts as being at the end. */
const END_SLACK = 32;
/**
 * MAX_CHAIN is the maximum number of consecutive renders that each trigger the next one. New rows
 * usually need two or three: their measured heights move the view, which may bring further rows
 * into it. Without a limit, heights that differ at every measurement (as during a CSS transition)
 * would cause endless renders.
 */
const MAX_CHAIN = 10;

interface Item {
  readonly key: string;
}

export interface Windowed {
  /**
   * The scrolling element. Its first child has the height of the whole list, and that element's
   * first child contains the rendered rows.
   */
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly range: Range;
  /** The top of the first rendered row and the height of the whole list, in pixels. */
  readonly top: number;
  readonly total: number;
  readonly atEnd: boolean;
  readonly onScroll: () => void;
  /**
   * Scrolls a row into view: with `centre`, to a third of the view's height from its top; with
   * `nearest`, by the smallest distance.
   */
  readonly reveal: (key: string, how: "centre" | "nearest") => void;
  readonly toEnd: () => void;
  /** The position of a row relative to the view; undefined if the row does not exist. */
  readonly sightOf: (key: string) => "above" | "within" | "below" | undefined;
  /** The height of the content above and below the view, in pixels. */
  readonly above: () => number;
  readonly below: () => number;
}

interface Position {
  anchor: Anchor | undefined;
  /** Whether the view is at the end and should stay there. */
  stuckToEnd: boolean;
}

/**
 * useWindow computes the layout of the rows. If `complete` is true, no rows will be loaded after
 * the last one, and a view at the end of the list stays at the end when rows are added.
 */
export function useWindow<T extends Item>(rows: readonly T[], estimate: (row: T) => number, complete: boolean): Windowed {
  const scroller = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const position = useRef<Position>({ anchor: undefined, stuckToEnd: true });
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
  const range = rangeOf(offsets, view.top, view.height, OVERSCAN, MAX_ROWS);
  const total = offsets.at(-1) ?? 0;

  /** updateView reads the scroll position. It returns true if that triggers a render. */
  const updateView = (): boolean => {
    const element = scroller.current;
    if (element === null) {
      return false;
    }
    const { scrollTop, clientHeight } = element;
    const atEnd = scrollTop + clientHeight >= total - END_SLACK;
    if (view.top === scrollTop && view.height === clientHeight && view.atEnd === atEnd) {
      return false;
    }
    setView({ top: scrollTop, height: clientHeight, atEnd });
    return true;
  };

  /**
   * settle corrects the scroll position after rows or heights have changed. It returns true if that
   * triggers a render.
   */
  const settle = (): boolean => {
    const element = scroller.current;
    if (element === null) {
      return false;
    }
    const { anchor, stuckToEnd } = position.current;
    const index = anchor === undefined ? undefined : indexes.get(anchor.key);
    const wanted = stuckToEnd
      ? total - element.clientHeight
      : anchor === undefined || index === undefined
        ? element.scrollTop
        : topFor(offsets, index, anchor, element.clientHeight);
    if (Math.abs(element.scrollTop - wanted) >= 1) {
      element.scrollTop = wanted;
    }
    return updateView();
  };

  /**
   * measure records the heights of the rendered rows. It returns true if that triggers a render.
   */
  const measure = (): boolean => {
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
    return changed;
  };

  // After every render, correct the position and measure the rows before the browser paints. This
  // is the only place where a render causes another one.
  const chain = useRef(0);
  const laidOut = useRef(rows);
  useLayoutEffect(() => {
    if (laidOut.current !== rows && complete && view.atEnd) {
      position.current = { stuckToEnd: true, anchor: undefined };
    }
    laidOut.current = rows;
    if (chain.current >= MAX_CHAIN) {
      chain.current = 0;
      return;
    }
    const moved = settle();
    const grown = measure();
    chain.current = moved || grown ? chain.current + 1 : 0;
  });

  // Rows may grow without a render (because of an edit field or a font), and the view may be
  // resized. The browser reports each of these changes at most once per frame.
  const onResize = useRef<() => void>(() => undefined);
  onResize.current = () => {
    measure();
    settle();
  };
  useLayoutEffect(() => {
    const element = scroller.current;
    const rendered = element?.firstElementChild?.firstElementChild;
    if (element === null || rendered === null || rendered === undefined) {
      return undefined;
    }
    let width = element.clientWidth;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth !== width) {
        // All text wraps differently at the new width, so the measured heights are no better than
        // estimates.
        width = element.clientWidth;
        heights.current.clear();
        setMeasured((n) => n + 1);
      }
      onResize.current();
    });
    observer.observe(element);
    observer.observe(rendered);
    return () => observer.disconnect();
  }, []);

  const onScroll = (): void => {
    const element = scroller.current;
    if (element === null) {
      return;
    }
    const stuckToEnd = complete && element.scrollTop + element.clientHeight >= total - END_SLACK;
    position.current = { stuckToEnd, anchor: anchorAt(offsets, element.scrollTop, (i) => rows[i]?.key) };
    updateView();
  };

  const reveal = (key: string, how: "centre" | "nearest"): void => {
    const element = scroller.current;
    const index = indexes.get(key);
    if (element === null || index === undefined) {
      return;
    }
    const begin = offsets[index] ?? 0;
    const top = how === "centre" ? begin - element.clientHeight / 3 : topToReveal(offsets, index, element.scrollTop, element.clientHeight);
    position.current = { stuckToEnd: false, anchor: { key, offset: begin - top } };
    settle();
  };

  const toEnd = (): void => {
    position.current = { stuckToEnd: true, anchor: undefined };
    settle();
  };

  const sightOf = (key: string): "above" | "within" | "below" | undefined => {
    const index = indexes.get(key);
    if (index === undefined) {
      return undefined;
    }
    const begin = offsets[index] ?? 0;
    const end = offsets[index + 1] ?? begin;
    return end <= view.top ? "above" : begin >= view.top + view.height ? "below" : "within";
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
    sightOf,
    above: () => scroller.current?.scrollTop ?? 0,
    below: () => total - (scroller.current?.scrollTop ?? 0) - (scroller.current?.clientHeight ?? 0),
  };
}
