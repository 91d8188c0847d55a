import { expect, it } from "vitest";

import { roleOf } from "./boundaries";

/** role returns the role of the only run of marks in a text. */
const role = (text: string): string => {
  const run = /[*_~]+/.exec(text);
  const start = run?.index ?? 0;
  const { opens, closes } = roleOf(text, start, start + (run?.[0].length ?? 0));
  return opens && closes ? "both" : opens ? "opens" : closes ? "closes" : "none";
};

it.each([
  ["*word", "opens"],
  ["a *word", "opens"],
  ["(*word", "opens"],
  ['"*word', "opens"],
  ["“*word", "opens"],
  ["—*word", "opens"],
  ["_word", "opens"],
  ['**"quoted', "opens"],
  ["*👍", "opens"],
  ["word*", "closes"],
  ["word*, and", "closes"],
  ["word*)", "closes"],
  ["word).*", "closes"],
  ["word* and", "closes"],
  ["这是**重点", "both"],
  ["重点**を", "both"],
  ["重点**a", "opens"],
  ["2*3", "none"],
  ["2 * 3", "none"],
  ["*.go", "none"],
  ["/*comment", "none"],
  ["why; /* */", "none"],
  [" */", "none"],
  [".*regex", "none"],
  ["snake_case", "none"],
  ["f(a)*b", "none"],
  ["(*)", "none"],
  ['"*"', "none"],
  ["\\*word", "none"],
  [" * ", "none"],
])("%s: %s", (text, want) => {
  expect(role(text)).toBe(want);
});
