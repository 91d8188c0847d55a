import { expect, it } from "vitest";

import { rankTitles } from "./rank";

it("ranks titles by how they match", () => {
  const titles = ["steal", "green-tea", "tea", "the late ape", "coffee"];
  expect(rankTitles(titles, (t) => t, " TEA ", 9)).toEqual(["tea", "green-tea", "steal", "the late ape"]);
  expect(rankTitles(titles, (t) => t, "tea", 2)).toHaveLength(2);
  expect(rankTitles(titles, (t) => t, "zz", 9)).toEqual([]);
});
