import { describe, expect, it, vi } from "vitest";

import { clip, firstCluster } from "./clusters";
import { initialsOf } from "./identity";
import { oneLine, unmarked } from "./markup";

/**
 * A family (seven code points), a flag, a thumb with a skin tone, e with two accents, a decomposed
 * Hangul syllable.
 */
const clusters = ["👨‍👩‍👧‍👦", "🇨🇭", "👍🏽", "e\u0301\u0323", "\u1112\u1161\u11ab", "😀", "a"];

describe("clip", () => {
  it("leaves a text that fits as it is", () => {
    expect(clip("", 10)).toBe("");
    expect(clip("0123456789", 10)).toBe("0123456789");
  });

  it("cuts between clusters wherever the limit falls", () => {
    for (const cluster of clusters) {
      for (let before = 0; before <= 20; before++) {
        const text = "x".repeat(before) + cluster + cluster + "y".repeat(30);
        const got = clip(text, 20);
        expect(got.length).toBeLessThanOrEqual(20);
        const kept = got.slice(0, -1);
        expect(got).toBe(kept + "…");
        const whole = kept.slice(before).replaceAll(cluster, "").replaceAll("y", "");
        expect([text.startsWith(kept), kept.length < before ? "" : whole]).toEqual([true, ""]);
      }
    }
  });

  it("cuts between code points without Intl.Segmenter", async () => {
    vi.stubGlobal("Intl", {});
    vi.resetModules();
    const old = await import("./clusters");
    vi.unstubAllGlobals();
    expect(old.clip("ab😀😀", 5)).toBe("ab😀…");
    expect(old.firstCluster("😀")).toBe("😀");
  });
});

describe("previews and initials", () => {
  it("never end in a part of a character", () => {
    for (const cluster of clusters) {
      for (let before = 130; before <= 140; before++) {
        const got = oneLine(unmarked("x".repeat(before) + cluster.repeat(20)), 140);
        expect(got.replace(/^x*/, "").replaceAll(cluster, "")).toBe("…");
      }
    }
  });

  it("begin with a whole character", () => {
    expect(initialsOf("👨‍👩‍👧‍👦 🇨🇭")).toBe("👨‍👩‍👧‍👦🇨🇭");
    expect(initialsOf("ann lee")).toBe("AL");
    expect(initialsOf("")).toBe("?");
    expect(firstCluster("")).toBe("");
  });
});
