/**
 * The arithmetic of a windowed list: rows of unlike heights, most of them never measured, of which only those in
 * sight are elements. Nothing here touches the document.
 */

/** Where each row begins, and at the end where the list ends. */
export function offsetsOf(count: number, heightOf: (index: number) => number): Float64Array {
  const offsets = new Float64Array(count + 1);
  for (let i = 0; i < count; i++) {
    offsets[i + 1] = (offsets[i] ?? 0) + heightOf(i);
  }
  return offsets;
}

/** The row at a height: the last one that begins at or above it. */
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
  /** The one after the last. */
  readonly end: number;
}

/** The rows to show: those in sight and `overscan` pixels around them, never more than `most`. */
export function rangeOf(offsets: Float64Array, top: number, height: number, overscan: number, most: number): Range {
  const count = offsets.length - 1;
  if (count <= 0) {
    return { first: 0, end: 0 };
  }
  const total = offsets[count] ?? 0;
  const visibleTop = Math.max(0, Math.min(top, total - height));
  let first = rowAt(offsets, visibleTop - overscan);
  let end = rowAt(offsets, visibleTop + height + overscan) + 1;
  if (end - first > most) {
    const middle = rowAt(offsets, visibleTop + height / 2);
    first = Math.max(first, Math.min(middle - Math.floor(most / 2), end - most));
    end = Math.min(end, first + most);
  }
  return { first, end };
}

/** What must stay where it is while the list changes around it: a row, and how far its begin is from the top of the view. */
export interface Anchor {
  readonly key: string;
  /** Pixels from the top of the view to the row's begin; negative when that is above it. */
  readonly offset: number;
}

export function anchorAt(offsets: Float64Array, top: number, keyOf: (index: number) => string | undefined): Anchor | undefined {
  const index = rowAt(offsets, top);
  const key = keyOf(index);
  return key === undefined ? undefined : { key, offset: (offsets[index] ?? 0) - top };
}

/** How far to scroll so that the anchor is where it was. */
export function topFor(offsets: Float64Array, index: number, anchor: Anchor, height: number): number {
  const most = Math.max(0, (offsets.at(-1) ?? 0) - height);
  return Math.max(0, Math.min(most, (offsets[index] ?? 0) - anchor.offset));
}

/** How far to scroll so that a row is wholly in sight, moving no more than needed. */
export function topToReveal(offsets: Float64Array, index: number, top: number, height: number): number {
  const begin = offsets[index] ?? 0;
  const end = offsets[index + 1] ?? begin;
  if (begin < top) {
    return begin;
  }
  return end > top + height ? Math.min(begin, end - height) : top;
}
