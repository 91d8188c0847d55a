import { expect, it } from "vitest";

import { onlyEmoji } from "./emoji-only";

it.each([
  ["👍", true],
  ["❤️ 👩‍👩‍👧‍👦 🇨🇭 👍🏽", true],
  ["👍".repeat(12), true],
  ["👍".repeat(13), false],
  ["👍 yes", false],
  ["1", false],
  ["#*", false],
  ["", false],
  [" ".repeat(16_000) + "x", false],
])("onlyEmoji(%j) is %s", (body, want) => {
  expect(onlyEmoji(body)).toBe(want);
});
