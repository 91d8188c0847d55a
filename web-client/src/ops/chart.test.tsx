// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test } from "vitest";

import { Chart } from "./chart";
import type { Figure } from "./figures";
import { clock } from "./format";
import { reading } from "./reading";
import { type Sample, SPAN_MS } from "./samples";

const figure: Figure = { key: "sends", title: "Sends", unit: "/s", about: "", alert: { name: "X", above: 60, period: "" }, commands: [] };
const START = 100 * 60_000;
const samples: readonly Sample[] = [10, 90, 30].map((sends, i) => ({ at: START + i * 2000, values: { sends } }));

let root: HTMLElement;

const show = (some: readonly Sample[], large = true): Promise<void> => act(() => render(<Chart figure={figure} samples={some} large={large} />, root));
const element = (selector: string): HTMLElement => {
  const found = root.querySelector<HTMLElement>(selector);
  expect(found, selector).not.toBeNull();
  return found as HTMLElement;
};
const slider = (): HTMLElement => element('[role="slider"]');
const press = (key: string): Promise<void> => act(() => void slider().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));

beforeEach(() => {
  root = document.body.appendChild(document.createElement("div"));
});

afterEach(() => {
  render(null, root);
  root.remove();
  reading.value = undefined;
});

test("the limit is drawn on the scale of the line", async () => {
  await show(samples);
  expect([...root.querySelectorAll(".chart-values span")].map((e) => e.textContent)).toEqual(["0", "50", "100"]);
  expect(element(".chart-limit").style.bottom).toBe("60.00%");
  expect(element(".chart-limit").textContent).toBe("alert above 60 /s");
  expect(element(".chart-line").getAttribute("d")).toMatch(/^M99\.33,90\.00L99\.67,10\.00L100\.00,70\.00$/);
});

test("pointing at a chart reads the nearest sample", async () => {
  await show(samples);
  slider().getBoundingClientRect = () => new DOMRect(0, 0, SPAN_MS / 1000, 100); // a pixel is a second
  await act(() => void slider().dispatchEvent(new PointerEvent("pointermove", { clientX: SPAN_MS / 1000 - 2.4, bubbles: true })));
  expect(element('[data-testid="ops-reading"]').textContent).toBe(`90 /s ${clock(START + 2000)}`);
  await act(() => void slider().dispatchEvent(new PointerEvent("pointerleave")));
  expect(root.querySelector('[data-testid="ops-reading"]')).toBeNull();
});

test("the arrow keys read one sample after another", async () => {
  await show(samples);
  expect(slider().getAttribute("aria-valuetext")).toBe(`30 /s at ${clock(START + 4000)}`);
  await press("ArrowLeft");
  expect(slider().getAttribute("aria-valuetext")).toBe(`90 /s at ${clock(START + 2000)}`);
  await press("Home");
  expect(slider().getAttribute("aria-valuenow")).toBe(String(START));
  await show([...samples, { at: START + 6000, values: { sends: 1 } }]);
  expect(slider().getAttribute("aria-valuenow")).toBe(String(START));
  await press("Escape");
  expect(slider().getAttribute("aria-valuetext")).toBe(`1 /s at ${clock(START + 6000)}`);
});

test("a small chart has a limit but no axes, and is described as a picture", async () => {
  await show(samples, false);
  expect(element('[role="img"]').getAttribute("aria-label")).toBe("Sends over the last ten minutes: now 30, highest 90 /s");
  expect(element(".chart-limit").textContent).toBe("");
  expect(root.querySelector(".chart-times")).toBeNull();
});

test("a figure that nobody reports is empty, not 0", async () => {
  await show(samples.map(({ at }) => ({ at, values: {} })));
  expect(element(".chart-empty").textContent).toBe("No readings");
  expect(slider().getAttribute("aria-valuetext")).toBe(`no reading at ${clock(START + 4000)}`);
  await show([]);
  expect(root.querySelector(".chart-empty")).toBeNull();
  expect(root.querySelector('[role="slider"]')).toBeNull();
});
