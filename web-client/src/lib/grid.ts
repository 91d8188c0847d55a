/** Keyboard navigation in a grid whose number of columns depends on its width. */

/** The position of a cell, in pixels. */
export interface Cell {
  readonly left: number;
  readonly top: number;
}

/**
 * nextInGrid returns the index of the cell to which a key moves the focus, or undefined if the key
 * does not move it. ↑ and ↓ move to the nearest cell of the adjacent row.
 */
export function nextInGrid(cells: readonly Cell[], at: number, key: string): number | undefined {
  const inside = (index: number): number | undefined => (index >= 0 && index < cells.length ? index : undefined);
  switch (key) {
    case "ArrowRight":
      return inside(at + 1);
    case "ArrowLeft":
      return inside(at - 1);
    case "Home":
      return inside(0);
    case "End":
      return inside(cells.length - 1);
    case "ArrowDown":
      return inAdjacentRow(cells, at, 1);
    case "ArrowUp":
      return inAdjacentRow(cells, at, -1);
    default:
      return undefined;
  }
}

function inAdjacentRow(cells: readonly Cell[], at: number, step: 1 | -1): number | undefined {
  const from = cells[at];
  if (from === undefined) {
    return undefined;
  }
  let found: number | undefined;
  let distance = Infinity;
  let row = Infinity;
  cells.forEach((cell, i) => {
    const rows = (cell.top - from.top) * step;
    const columns = Math.abs(cell.left - from.left);
    if (rows > 0 && (rows < row || (rows === row && columns < distance))) {
      [found, row, distance] = [i, rows, columns];
    }
  });
  return found;
}
