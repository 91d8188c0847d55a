import { describe, expect, it } from "vitest";

import { hiddenHost, type Inline, mayHaveMarks, oneLine, unmarked, webAddress } from "./markup";
import { stepsOf } from "./steps";

const ANN = new Map([["ann", { me: true }]]);

const inlines = (body: string): readonly Inline[] => {
  const [first] = unmarked(body, ANN);
  return first?.kind === "paragraph" ? first.children : [];
};
const text = (t: string): Inline => ({ kind: "text", text: t });

describe("unmarked", () => {
  it.each<[string, readonly Inline[]]>([
    ["hello\n\n there", [text("hello\n\n there")]],
    ["**as** `typed`", [text("**as** `typed`")]],
    ["hi @ann, not @bob.", [text("hi "), { kind: "mention", name: "ann" }, text(", not @bob.")]],
    ["a@b.example", [text("a@b.example")]],
    ["javascript:alert(1)", [text("javascript:alert(1)")]],
    ["xhttps://a.example", [text("xhttps://a.example")]],
  ])("%j", (body, want) => {
    expect(inlines(body)).toEqual(want);
  });

  it.each([
    ["see https://a.example/x.", "https://a.example/x"],
    ["(https://a.example/x)", "https://a.example/x"],
    ["https://a.example/wiki/Tea_(drink) is", "https://a.example/wiki/Tea_(drink)"],
    ["http://a.example:8080/?q=1&r=2#f", "http://a.example:8080/?q=1&r=2#f"],
    ["**https://a.example**", "https://a.example"],
  ])("finds the link of %s", (body, want) => {
    expect(inlines(body).find((n) => n.kind === "link")).toMatchObject({ children: [text(want)] });
  });

  it.each(["@", "@ann", "@a.", "https://", "https://[(", "Https://%zz", "https://[*", "http://a/(", "h", "](", "|", "\n|", "1", "> ", " "])("takes linear time for %j", async (word) => {
    const of = (size: number): Promise<number> =>
      stepsOf(() => {
        const body = word.repeat(Math.floor(size / word.length));
        mayHaveMarks(body);
        unmarked(body, ANN);
      });
    expect((await of(16 << 10)) / (await of(2 << 10))).toBeLessThan(2 * 8); // quadratic time would give 64
  });
});

describe("webAddress", () => {
  it.each(["javascript:alert(1)", "data:text/html,x", "ftp://a.example", "//a.example", "https://", "vbscript:x"])("refuses %s", (address) => {
    expect(webAddress(address)).toBeUndefined();
  });
});

describe("hiddenHost", () => {
  it.each([
    ["the docs", undefined],
    ["https://a.example/x", undefined],
    ["A.example", undefined],
    ["https://bank.example/login", "a.example"],
    ["bank.example", "a.example"],
    ["v1.2", undefined],
  ])("of a link to a.example with the label %j is %j", (label, want) => {
    expect(hiddenHost("https://a.example/x", label)).toBe(want);
  });
});

describe("oneLine", () => {
  it("returns one line of at most the given length", () => {
    expect(oneLine(unmarked("a\n\n b\n@ann", ANN), 20)).toBe("a b @ann");
    expect(oneLine(unmarked("abcdefghij"), 5)).toBe("abcd…");
    const row = [[text("1")], [text("2")]];
    expect(
      oneLine(
        [
          { kind: "quote", children: unmarked("a") },
          { kind: "list", marker: "-", items: [{ number: undefined, children: unmarked("b") }] },
          { kind: "code", language: "go", text: "c" },
          { kind: "table", aligns: [], rows: [row] },
        ],
        20,
      ),
    ).toBe("a b c 1 2");
  });
});
