import { describe, expect, it } from "vitest";

import { type Block, type Inline, parseBody, plainText, webAddress } from "./markup";

const inline = (body: string): readonly Inline[] => {
  const [first] = parseBody(body);
  return first?.kind === "paragraph" ? first.children : [];
};
const text = (t: string): Inline => ({ kind: "text", text: t });

describe("parseBody", () => {
  it.each<[string, string, readonly Inline[]]>([
    ["plain", "hello there", [text("hello there")]],
    ["code", "run `make` now", [text("run "), { kind: "code", text: "make" }, text(" now")]],
    ["bold", "**yes**!", [{ kind: "strong", children: [text("yes")] }, text("!")]],
    ["italic in bold", "**a *b* c**", [{ kind: "strong", children: [text("a "), { kind: "emphasis", children: [text("b")] }, text(" c")] }]],
    ["arithmetic stays", "2 * 3 * 4", [text("2 * 3 * 4")]],
    ["unclosed stays", "**no `end", [text("**no `end")]],
    ["no marks in code", "`**x**`", [{ kind: "code", text: "**x**" }]],
    ["mention", "hi @ann.", [text("hi "), { kind: "mention", name: "ann" }, text(".")]],
    ["address is no mention", "a@b.example", [text("a@b.example")]],
    ["html is text", "<img src=x onerror=alert(1)>", [text("<img src=x onerror=alert(1)>")]],
    ["javascript is no link", "javascript:alert(1)", [text("javascript:alert(1)")]],
    ["word before stays", "xhttps://a.example", [text("xhttps://a.example")]],
  ])("%s", (_, body, want) => {
    expect(inline(body)).toEqual(want);
  });

  it.each([
    ["see https://a.example/x.", "https://a.example/x"],
    ["(https://a.example/x)", "https://a.example/x"],
    ["https://a.example/wiki/Tea_(drink) is", "https://a.example/wiki/Tea_(drink)"],
    ["http://a.example:8080/?q=1&r=2#f", "http://a.example:8080/?q=1&r=2#f"],
    ["**https://a.example**", "https://a.example"],
  ])("finds the link of %s", (body, want) => {
    const flat = (nodes: readonly Inline[]): readonly Inline[] => nodes.flatMap((n) => ("children" in n ? flat(n.children) : [n]));
    expect(flat(inline(body)).find((n) => n.kind === "link")).toMatchObject({ text: want });
  });

  it("separates code blocks", () => {
    expect(parseBody("before\n```go\nx := `1`\n```\nafter")).toEqual<Block[]>([
      { kind: "paragraph", children: [text("before")] },
      { kind: "code", language: "go", text: "x := `1`" },
      { kind: "paragraph", children: [text("after")] },
    ]);
    expect(parseBody("```one line```")).toEqual<Block[]>([{ kind: "code", language: "", text: "one line" }]);
    expect(parseBody("``` never closed")).toEqual<Block[]>([{ kind: "paragraph", children: [text("``` never closed")] }]);
  });

  it("loses no text, whatever is typed", () => {
    const words = ["*", "**", "`", "```", "@", "@ann", "h", "https://", "http://a.example/(", ")", "\n", " ", "x", "é", "👍"];
    let seed = 7;
    for (let round = 0; round < 3000; round++) {
      let body = "";
      for (let i = 0; i < 12; i++) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        body += words[seed % words.length] ?? "";
      }
      const letters = (s: string): string => s.replace(/[*`\n]/g, "");
      const shown = (nodes: readonly Inline[]): string =>
        nodes.map((n) => (n.kind === "mention" ? "@" + n.name : "children" in n ? shown(n.children) : n.text)).join("");
      const all = parseBody(body).map((b) => (b.kind === "code" ? b.language + b.text : shown(b.children))).join("");
      expect(letters(all)).toBe(letters(body));
    }
  });

  it.each([["*"], ["**a"], ["`"], ["```"], ["@"], ["https://"], ["("], ["http://a/("], ["*a* "], ["\n*"]])("is quick with 16 KiB of %j", (word) => {
    const begin = performance.now();
    parseBody(word.repeat(Math.floor(16384 / word.length)));
    expect(performance.now() - begin).toBeLessThan(500);
  });
});

describe("webAddress", () => {
  it.each(["javascript:alert(1)", "data:text/html,x", "ftp://a.example", "//a.example", "https://", "vbscript:x"])("refuses %s", (address) => {
    expect(webAddress(address)).toBeUndefined();
  });
});

describe("plainText", () => {
  it("is one line of the wanted length", () => {
    expect(plainText("a\n\n **b** ```c```\n@ann", 20)).toBe("a b c @ann");
    expect(plainText("abcdefghij", 5)).toBe("abcd…");
  });
});
