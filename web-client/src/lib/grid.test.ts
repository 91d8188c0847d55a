import { describe, expect, it } from "vitest";

import { nextInGrid } from "./grid";

// Two sections with five columns: 7 cells (5 and 2), and 6 cells (5 and 1).
const CELLS = [7, 6].flatMap((count, section) => Array.from({ length: count }, (_, i) => ({ left: (i % 5) * 40, top: section * 120 + Math.floor(i / 5) * 40 })));

describe("the focus in a grid", () => {
  it.each([
    ["ArrowRight", 4, 5],
    ["ArrowRight", 12, undefined],
    ["ArrowLeft", 0, undefined],
    ["ArrowLeft", 7, 6],
    ["ArrowDown", 1, 6],
    ["ArrowDown", 4, 6],
    ["ArrowDown", 6, 8],
    ["ArrowDown", 12, undefined],
    ["ArrowUp", 12, 7],
    ["ArrowUp", 10, 6],
    ["ArrowUp", 3, undefined],
    ["Home", 9, 0],
    ["End", 2, 12],
    ["Enter", 2, undefined],
  ])("moves with %s from %i to %s", (key, at, to) => {
    expect(nextInGrid(CELLS, at, key)).toBe(to);
  });

  it("moves nowhere in an empty grid", () => {
    expect(["ArrowRight", "ArrowDown", "Home", "End"].map((key) => nextInGrid([], 0, key))).toEqual([undefined, undefined, undefined, undefined]);
  });
});
