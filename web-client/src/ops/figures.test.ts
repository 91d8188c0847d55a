import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { peakOf, pathOf, runsOf } from "./chart";
import { alarming, figures, shown } from "./figures";
import { anchorOf, readManual } from "./manual";
import { SPAN_MS } from "./samples";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("the limits match the alert rules", () => {
  const rules = read("deploy/prometheus/parley.rules.yml");
  for (const { alert } of figures) {
    if (alert === undefined) {
      continue;
    }
    const expr = new RegExp(`- alert: ${alert.name}\n\\s+expr: (.+)`).exec(rules)?.[1] ?? "";
    expect(expr, alert.name).toMatch(alert.name === "ParleyMemoryOverBudget" ? /== 1$/ : new RegExp(`> ${alert.above}$`));
  }
});

test("a value at its limit or an unknown value is no alarm", () => {
  const lag = figures.find((f) => f.key === "lagSeconds");
  expect(lag && [alarming(lag, 60), alarming(lag, 60.1), alarming(lag, undefined)]).toEqual([false, true, false]);
});

test("the manual describes every command that the page names", () => {
  const manual = readManual(read("docs/operations.md"));
  for (const line of figures.flatMap((f) => f.commands)) {
    expect(manual.tools.map((t) => `#tool-${t.name}`)).toContain(anchorOf(line));
  }
  expect(manual.advice.join("\n\n")).toContain("```\nsync-service replay --since");
});

test("numbers are formatted briefly", () => {
  expect([undefined, 0, 0.123, 12.34, 123.4, 1234, 1_234_567].map(shown)).toEqual(["–", "0", "0.12", "12.3", "123", "1,234", "1.2M"]);
});

test("a line has a gap where the figure is unknown", () => {
  const samples = [1, undefined, 3, 5].map((n, i) => ({ at: i * 1000, values: n === undefined ? {} : { sends: n } }));
  const runs = runsOf(samples, "sends", 3000);
  expect(runs.map((run) => run.map((p) => p.value))).toEqual([[1], [3, 5]]);
  expect(runs[1]?.[1]?.x).toBe(300);
  expect(runsOf([{ at: 0, values: { sends: 1 } }], "sends", SPAN_MS)[0]?.[0]?.x).toBe(0);
  expect(peakOf(samples, "sends")).toBe(5);
  expect(peakOf([], "sends")).toBeUndefined();
  expect(pathOf([{ x: 0, value: 10 }], 10)).toBe("M0.0,2.0L1.0,2.0");
});
