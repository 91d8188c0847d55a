import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { limitsIn } from "./alert-rules";
import { alarming, anchorOf, figures, mainFigures } from "./figures";
import { manualOf } from "./manual";
import { conditionOf } from "./panel";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("the limits are read from the alert rules", () => {
  const rules = `groups:
  - name: some
    rules:
      - alert: Above
        expr: max(parley_a) > 0.7
        for: 5m
        labels: {severity: page}
      - alert: Immediately
        expr: sum(max by (partition) (parley_b)) > 500000
        labels: {severity: page}
      - alert: Flag
        expr: max(parley_c) == 1
        for: 10m
      - alert: Absent
        expr: absent(parley_d)
        for: 2m
`;
  expect(limitsIn(rules)).toEqual({
    Above: { above: 0.7, period: "5m" },
    Immediately: { above: 500_000, period: "" },
    Flag: { above: 0, period: "10m" },
  });
});

test("the page has the limits of the rules in deploy/, converted to its units", () => {
  const limits = limitsIn(read("deploy/prometheus/parley.rules.yml"));
  const known = figures.flatMap(({ alert, unit }) => (alert === undefined ? [] : [[alert.name, unit === "%" ? alert.above / 100 : alert.above]]));
  expect(known.length).toBeGreaterThan(7);
  expect(known).toEqual(known.map(([name = ""]) => [name, limits[name]?.above]));
  expect(mainFigures.every((f) => f.alert !== undefined)).toBe(true);
});

test("a value at its limit or an unknown value is no alarm", () => {
  const [lag] = mainFigures;
  const limit = lag?.alert?.above ?? NaN;
  expect(lag && [alarming(lag, limit), alarming(lag, limit + 0.1), alarming(lag, undefined)]).toEqual([false, true, false]);
});

test("the condition of an alert is described", () => {
  expect(conditionOf({ name: "X", above: 60, period: "5m" }, "s")).toBe("Alert: above 60 s for 5 min.");
  expect(conditionOf({ name: "X", above: 70, period: "" }, "%")).toBe("Alert: above 70%.");
});

test("the manual describes every command that the page names", () => {
  const manual = manualOf(read("docs/operations.md"));
  for (const line of figures.flatMap((f) => f.commands)) {
    expect(manual).toContain(`<div id="${anchorOf(line).slice(1)}"><dt><code>`);
  }
  expect(manual).toMatch(/<pre><code>sync-service replay --since/);
});

test("the manual has no links to other documents, and no HTML from the document", () => {
  const manual = manualOf("\n## The operator's tools\n\n| command | does |\n| --- | --- |\n| `run` | a <b> |\n\n**It** is [here](x.md).\n\n## Next\nno\n");
  expect(manual).toBe('<dl><div id="tool-run"><dt><code>run</code></dt><dd>a &lt;b&gt;</dd></div></dl>\n<p><strong>It</strong> is here.</p>\n');
});
