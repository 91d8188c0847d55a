import { describe, expect, it } from "vitest";

import { type Box, MARGIN, place } from "./placement";

const WINDOW: Box = { left: 0, top: 0, width: 1000, height: 800 };
const button = (left: number, top: number): Box => ({ left, top, width: 40, height: 40 });
const CARD = { width: 300, height: 200 };

describe("a popover", () => {
  it.each([
    ["below its control", button(100, 100), { left: 100, top: 146 }],
    ["above it, without room below", button(100, 700), { left: 100, top: 494 }],
    ["at its right edge, without room to the right", button(900, 100), { left: 640, top: 146 }],
    ["at the window's edge, if the control is cut off", button(-30, -30), { left: MARGIN, top: 16 }],
  ])("is drawn %s", (_, anchor, position) => {
    expect(place(anchor, CARD, WINDOW)).toEqual(position);
  });

  it("covers its control in a window without room above or below", () => {
    const low = { ...WINDOW, height: 260 };
    expect(place(button(100, 100), CARD, low)).toEqual({ left: 100, top: 260 - MARGIN - 200 });
  });

  it("keeps its beginning in a window that is smaller than it", () => {
    expect(place(button(50, 50), CARD, { left: 0, top: 0, width: 200, height: 100 })).toEqual({ left: MARGIN, top: MARGIN });
  });

  it("is always in the visible part of a window", () => {
    const view: Box = { left: 120, top: 60, width: 344, height: 420 }; // zoomed in with two fingers
    for (let left = 100; left < 480; left += 17) {
      for (let top = 40; top < 500; top += 17) {
        const at = place(button(left, top), CARD, view);
        expect(at.left).toBeGreaterThanOrEqual(view.left + MARGIN);
        expect(at.top).toBeGreaterThanOrEqual(view.top + MARGIN);
        expect(at.left + CARD.width).toBeLessThanOrEqual(view.left + view.width - MARGIN);
        expect(at.top + CARD.height).toBeLessThanOrEqual(view.top + view.height - MARGIN);
      }
    }
  });
});
