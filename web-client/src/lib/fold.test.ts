import { expect, it } from "vitest";

import { folded, MAX_LINES } from "./fold";

const lines = (count: number): string => Array.from({ length: count }, (_, i) => `line ${i}`).join("\n");

it("shows a body of up to 25 lines in full", () => {
  expect(folded(lines(MAX_LINES))).toEqual({ body: lines(MAX_LINES), lines: MAX_LINES });
  expect(folded("")).toEqual({ body: "", lines: 1 });
});

it("cuts a longer body after its first 25 lines", () => {
  expect(folded(lines(1000))).toEqual({ body: lines(MAX_LINES), lines: 1000 });
});

it("does not count the lines that open and close a block of code", () => {
  const code = (count: number): string => "```go\n" + lines(count) + "\n```";
  expect(folded(code(25))).toEqual({ body: code(25), lines: 25 });
  expect(folded(code(26))).toEqual({ body: "```go\n" + lines(25), lines: 26 });
});
