/**
 * The arithmetic of a windowed list: rows have different heights, most of which have never been
 * measured, and only the visible rows are rendered. Nothing here accesses the document.
 */

/**
 * offsetsOf returns the offset of the top of each row, followed by the offset of the bottom of the
 * list, in pixels.
 */
export function offsetsOf(count: number, heightOf: (index: number) => number): Float64Array {
  const offsets = new Float64Array(count + 1);
  for (let i = 0; i < count; i++) {
    offsets[i + 1] = (offsets[i] ?? 0) + heightOf(i);
  }
  return offsets;
}

/**
 * rowAt returns the index of the row at the vertical position y: the last row that starts at or
 * above y.
 */
export function rowAt(offsets: Float64Array, y: number): number {
  let low = 0;
  let high = offsets.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((offsets[middle] ?? 0) <= y) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return Math.max(0, Math.min(low, offsets.length - 2));
}

export interface Range {
  readonly first: number;
  /** The index after the last row. */
  readonly end: number;
}

/**
 * rangeOf returns the range of rows to render: at most `max` rows that are in view or within
 * `overscan` pixels of it.
 */
export function rangeOf(offsets: Float64Array, top: number, height: number, overscan: number, max: number): Range {
  const count = offsets.length - 1;
  if (count <= 0) {
    return { first: 0, end: 0 };
  }
  const total = offsets[count] ?? 0;
  const visibleTop = Math.max(0, Math.min(top, total - height));
  let first = rowAt(offsets, visibleTop - overscan);
  let end = rowAt(offsets, visibleTop + height + overscan) + 1;
  if (end - first > max) {
    const middle = rowAt(offsets, visibleTop + height / 2);
    first = Math.max(first, Math.min(middle - Math.floor(max / 2), end - max));
    end = Math.min(end, first + max);
  }
  return { first, end };
}

/** Anchor is the row that must keep its position in the view while other rows change. */
export interface Anchor {
  readonly key: string;
  /**
   * The distance in pixels from the top of the view to the top of the row; negative if the row
   * starts above the view.
   */
  readonly offset: number;
}

export function anchorAt(offsets: Float64Array, top: number, keyOf: (index: number) => string | undefined): Anchor | undefined {
  const index = rowAt(offsets, top);
  const key = keyOf(index);
  return key === undefined ? undefined : { key, offset: (offsets[index] ?? 0) - top };
}

/** topFor returns the scroll position at which the anchor keeps its place in the view. */
export function topFor(offsets: Float64Array, index: number, anchor: Anchor, height: number): number {
  const lowest = Math.max(0, (offsets.at(-1) ?? 0) - height);
  return Math.max(0, Math.min(lowest, (offsets[index] ?? 0) - anchor.offset));
}

/** topToReveal returns the nearest scroll position at which the row is fully visible. */
export function topToReveal(offsets: Float64Array, index: number, top: number, height: number): number {
  const begin = offsets[index] ?? 0;
  const end = offsets[index + 1] ?? begin;
  if (begin < top) {
    return begin;
  }
  return end > top + height ? Math.min(begin, end - height) : top;
}
