import { describe, expect, it } from "vitest";

import { anchorAt, offsetsOf, rangeOf, rowAt, topFor, topToReveal } from "./window";

const heights = (n: number): number[] => Array.from({ length: n }, (_, i) => 20 + ((i * 37) % 90));
const offsets = (h: readonly number[]): Float64Array => offsetsOf(h.length, (i) => h[i] ?? 0);

describe("rowAt", () => {
  it("returns the row at every height", () => {
    const h = heights(200);
    const o = offsets(h);
    for (let y = 0; y < (o.at(-1) ?? 0); y += 7) {
      const i = rowAt(o, y);
      expect(o[i]).toBeLessThanOrEqual(y);
      expect(o[i + 1]).toBeGreaterThan(y);
    }
    expect(rowAt(o, -50)).toBe(0);
    expect(rowAt(o, 1e9)).toBe(199);
  });
});

describe("rangeOf", () => {
  it("covers the view at every position, with a bounded number of rows", () => {
    const o = offsets(heights(10_000));
    const total = o.at(-1) ?? 0;
    for (let top = 0; top <= total - 800; top += 9973) {
      const { first, end } = rangeOf(o, top, 800, 400, 100);
      expect(end - first).toBeLessThanOrEqual(100);
      expect(o[first]).toBeLessThanOrEqual(top);
      expect(o[end]).toBeGreaterThanOrEqual(Math.min(total, top + 800));
    }
  });

  it("returns the last rows when the list has become shorter than the scroll position", () => {
    const o = offsets(heights(30));
    expect(rangeOf(o, 1e6, 300, 0, 100).end).toBe(30);
    expect(rangeOf(offsets([]), 0, 300, 0, 100)).toEqual({ first: 0, end: 0 });
  });

  it("is bounded even if a thousand rows are visible", () => {
    const o = offsetsOf(5000, () => 1);
    const { first, end } = rangeOf(o, 2000, 1000, 400, 100);
    expect(end - first).toBe(100);
    expect(first).toBe(2450);
  });
});

describe("anchors", () => {
  it("keep the view in place when rows are added before it", () => {
    const h = heights(50);
    const key = (i: number): string => `r${i}`;
    const before = offsets(h);
    const anchor = anchorAt(before, 777, key);
    expect(anchor).toBeDefined();
    const grown = offsets([...heights(200), ...h]);
    const index = Number(anchor?.key.slice(1)) + 200;
    const top = anchor === undefined ? 0 : topFor(grown, index, anchor, 300);
    expect(top).toBe(777 + (grown[200] ?? 0));
  });

  it("never scroll past an end", () => {
    const o = offsets(heights(50));
    expect(topFor(o, 49, { key: "x", offset: 0 }, 300)).toBe((o.at(-1) ?? 0) - 300);
    expect(topFor(o, 0, { key: "x", offset: 80 }, 300)).toBe(0);
  });
});

describe("topToReveal", () => {
  it("scrolls by the smallest distance", () => {
    const o = offsetsOf(100, () => 10);
    expect(topToReveal(o, 50, 480, 100)).toBe(480);
    expect(topToReveal(o, 50, 600, 100)).toBe(500);
    expect(topToReveal(o, 50, 300, 100)).toBe(410);
  });
});
