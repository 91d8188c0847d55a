/** Computes where a popover is drawn. Positions and sizes are in pixels. */

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The distance between a popover and its control, in pixels. */
const GAP = 6;
/** The distance between a popover and the edges of the window, in pixels. */
export const MARGIN = 8;

/**
 * place returns the position of a popover of the given size. The popover is below its control, or
 * above it if there is no room below. If there is room for neither, the popover covers the control.
 * It is aligned with the left edge of the control, or with the right edge if it would otherwise
 * leave the window. `view` is the visible part of the window.
 */
export function place(anchor: Box, size: Pick<Box, "width" | "height">, view: Box): Pick<Box, "left" | "top"> {
  const end = { x: view.left + view.width - MARGIN - size.width, y: view.top + view.height - MARGIN - size.height };
  const start = { x: view.left + MARGIN, y: view.top + MARGIN };
  const below = anchor.top + anchor.height + GAP;
  const above = anchor.top - GAP - size.height;
  const left = anchor.left <= end.x ? anchor.left : anchor.left + anchor.width - size.width;
  const top = below <= end.y || above < start.y ? below : above;
  // A popover that is larger than the window begins at the window's edge.
  return { left: Math.max(start.x, Math.min(left, end.x)), top: Math.max(start.y, Math.min(top, end.y)) };
}
