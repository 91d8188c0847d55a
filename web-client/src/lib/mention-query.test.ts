import { describe, expect, it } from "vitest";

import { candidates, complete, mentionAt } from "./mention-query";

describe("mentionAt", () => {
  it.each([
    ["hi @an", 6, { at: 3, text: "an" }],
    ["@", 1, { at: 0, text: "" }],
    ["a@b", 3, undefined],
    ["@ann and", 8, undefined],
    ["@ann and", 4, { at: 0, text: "ann" }],
    ["見て@bo", 5, { at: 2, text: "bo" }],
    ["x.org/@bo", 9, undefined],
    ["(@bob", 5, { at: 1, text: "bob" }],
  ])("%j at %d", (body, cursor, want) => {
    expect(mentionAt(body, cursor)).toEqual(want);
  });
});

it("completes a name in place", () => {
  expect(complete("hi @an!", { at: 3, text: "an" }, "ann")).toEqual({ body: "hi @ann !", cursor: 8 });
  expect(complete("hi @an you", { at: 3, text: "an" }, "ann")).toEqual({ body: "hi @ann you", cursor: 8 });
});

it("finds members by either name, ignoring case", () => {
  const members = [{ username: "ann", display_name: "Zoe" }, { username: "Bob", display_name: "" }];
  expect(candidates(members, "zO", 5)).toEqual([members[0]]);
  expect(candidates(members, "", 1)).toHaveLength(1);
});
