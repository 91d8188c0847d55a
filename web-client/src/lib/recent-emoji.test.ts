import { describe, expect, it } from "vitest";

import { withoutRecent, withRecent } from "./recent-emoji";

describe("recently used emoji", () => {
  it("are the last 12, without repetition, the last one first", () => {
    let recent: readonly string[] = [];
    for (const emoji of ["👍", "❤", "👍", "❤️"]) {
      recent = withRecent(recent, emoji);
    }
    expect(recent).toEqual(["❤️", "👍"]);
    for (let i = 0; i < 20; i++) {
      recent = withRecent(recent, String.fromCodePoint(0x1f600 + i));
    }
    expect(recent).toHaveLength(12);
    expect(recent[0]).toBe(String.fromCodePoint(0x1f613));
  });

  it("are left out of other lists", () => {
    expect(withoutRecent(["❤", "👍"], ["❤️", "🎉", "👍"])).toEqual(["🎉"]);
  });
});
