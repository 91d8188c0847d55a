import { describe, expect, it } from "vitest";

import { knownEmoji, loadEmoji } from "../i18n/emoji";
import { parseEmoji, searchEmoji } from "./emoji";

const first = (list: readonly { readonly emoji: string }[]): string | undefined => list[0]?.emoji;
const has = (list: readonly { readonly emoji: string }[], emoji: string): boolean => list.some((e) => e.emoji === emoji);

describe("the search for emoji", () => {
  it.each([
    ["en", "thumbs up", "👍"],
    ["en", "THUMBS", "👍"],
    ["en", ":tada:", "🎉"],
    ["en", "+1", "👍"],
    ["en", "pinata", "🪅"],
    ["de", "Daumen hoch", "👍"],
    ["de", "konf", "🎉"],
    ["de", "KUSSENDES", "😗"],
    ["de", "heissgetrank", "☕️"],
    ["de", "party popper", "🎉"],
  ] as const)("in %s finds %s first", async (language, query, emoji) => {
    expect(first(searchEmoji(await loadEmoji(language), query, 64))).toBe(emoji);
  });

  it.each([
    ["en", "joy", "😂"],
    ["en", "love heart", "❤️"],
    ["de", "kaffee", "☕️"],
    ["de", "tada", "🎉"],
    ["de", "flagge deutsch", "🇩🇪"],
  ] as const)("in %s by %s finds %s", async (language, query, emoji) => {
    expect(has(searchEmoji(await loadEmoji(language), query, 64), emoji)).toBe(true);
  });

  it("finds only words that begin with those of the query, and names before other words", () => {
    const list = parseEmoji("# A comment\n🚗\tcar\tauto\n🐱\tcat\tpet scar\n🧣\tscarf\t\n🎴\tplaying cards\t");
    expect(searchEmoji(list, "car", 10).map((e) => e.emoji)).toEqual(["🚗", "🎴"]);
    expect(searchEmoji(list, "ca", 2).map((e) => e.emoji)).toEqual(["🚗", "🐱"]);
    expect(searchEmoji(list, "pet cat", 10).map((e) => e.emoji)).toEqual(["🐱"]);
    expect(searchEmoji(list, "nothing", 10)).toEqual([]);
    expect(searchEmoji(list, "  ", 10)).toEqual([]);
  });

  it("finds an emoji that is typed or pasted, in the form that the server stores", async () => {
    const list = await loadEmoji("en");
    expect(searchEmoji(list, " ❤ ", 10).map((e) => [e.emoji, e.name])).toEqual([["❤️", "red heart"]]);
    expect(searchEmoji(list, "👍🏽", 10).map((e) => e.emoji)).toEqual(["👍🏽"]);
    expect(searchEmoji(list, "1️⃣", 10).map((e) => e.name)).toEqual(["keycap: 1"]);
    expect(searchEmoji(list, "👍👍", 10)).toEqual([]);
    expect(searchEmoji(list, "ok 👍", 10)).not.toContainEqual(expect.objectContaining({ emoji: "ok 👍" }));
  });
});

describe("the lists of emoji", () => {
  it("have the same emoji in the same order in every language", async () => {
    const [en, de] = [await loadEmoji("en"), await loadEmoji("de")];
    expect(en.length).toBeGreaterThan(1800);
    expect(de.map((e) => e.emoji)).toEqual(en.map((e) => e.emoji));
    expect(new Set(en.map((e) => e.emoji)).size).toBe(en.length);
    expect([...en, ...de].filter((e) => e.emoji === "" || e.name === "")).toEqual([]);
    expect(knownEmoji("en")).toBe(en);
  });
});
