// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { useWindow, type Windowed } from "./windowed";

interface Item {
  readonly key: string;
}

const VIEW = 400;
const items = (count: number): readonly Item[] => Array.from({ length: count }, (_, i) => ({ key: `r${i}` }));

/** The simulated layout: happy-dom computes no heights. */
let heightOf: (key: string) => number;
/** The number of heights that have been read. A list that never stops reading them must not hang the test. */
let measured = 0;
const MAX_MEASURED = 100_000;
/** Reports a change of size, as the browser does once per frame. */
let resized: () => void = () => undefined;

let root: HTMLElement;
let list: Windowed;
let renders = 0;

function List({ rows }: { readonly rows: readonly Item[] }) {
  renders++;
  list = useWindow(rows, () => 40, true);
  return (
    <div ref={list.scroller}>
      <div>
        <div>
          {rows.slice(list.range.first, list.range.end).map((row) => (
            <div key={row.key} data-row={row.key} />
          ))}
        </div>
      </div>
    </div>
  );
}

beforeEach(() => {
  measured = 0;
  renders = 0;
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(VIEW);
  vi.spyOn(Element.prototype, "getBoundingClientRect").mockImplementation(function (this: Element) {
    if (++measured > MAX_MEASURED) {
      throw new Error("the list never stops measuring");
    }
    return new DOMRect(0, 0, 300, heightOf(this.getAttribute("data-row") ?? ""));
  });
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(callback: () => void) {
        resized = callback;
      }
      observe(): void {}
      disconnect(): void {}
    },
  );
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("a windowed list", () => {
  it("stays at the end when all rows are higher than estimated", async () => {
    heightOf = (key) => 50 + (Number(key.slice(1)) % 7) * 20;
    await act(() => render(<List rows={items(500)} />, root));
    expect(list.range.end).toBe(500);
    expect(list.atEnd).toBe(true);
    expect(list.scroller.current?.scrollTop).toBe(list.total - VIEW);
    const shown = [...root.querySelectorAll("[data-row]")].reduce((sum, e) => sum + heightOf(e.getAttribute("data-row") ?? ""), 0);
    expect(list.top + shown).toBe(list.total);
  });

  it("stops rendering although every measurement returns another height", async () => {
    let n = 0;
    heightOf = () => 30 + (n++ % 200);
    await act(() => render(<List rows={items(500)} />, root));
    expect(renders).toBeLessThan(20);
    const before = renders;
    await act(() => resized());
    expect(renders - before).toBeLessThan(20);
  });

  it("measures again after heights that did not settle", async () => {
    let n = 0;
    heightOf = () => 30 + (n++ % 200);
    const rows = items(500);
    await act(() => render(<List rows={rows} />, root));
    heightOf = () => 50;
    await act(() => resized());
    expect(list.range.end).toBe(500);
    expect(list.scroller.current?.scrollTop).toBe(list.total - VIEW);
  });
});
