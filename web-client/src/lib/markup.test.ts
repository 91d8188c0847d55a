import { describe, expect, it, vi } from "vitest";

import { type Block, type Inline, parseBody, plainText, webAddress } from "./markup";
import { vectors } from "./vectors";

const ANN = new Map([["ann", true]]);

const inline = (body: string): readonly Inline[] => {
  const [first] = parseBody(body, ANN);
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

  it("loses no text, for any input", () => {
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
      const all = parseBody(body, ANN).map((b) => (b.kind === "code" ? b.language + b.text : shown(b.children))).join("");
      expect(letters(all)).toBe(letters(body));
    }
  });

  /**
   * steps counts the characters that f examines: in regular expressions, searches and URL parsing.
   */
  function steps(f: () => void): number {
    let count = 0;
    const exec = RegExp.prototype.exec;
    const indexOf = String.prototype.indexOf;
    const canParse = URL.canParse.bind(URL);
    const spies = [
      vi.spyOn(RegExp.prototype, "exec").mockImplementation(function (this: RegExp, text: string) {
        const found = exec.call(this, text);
        count += 1 + (found?.[0].length ?? 0);
        return found;
      }),
      vi.spyOn(String.prototype, "indexOf").mockImplementation(function (this: string, word: string, from = 0) {
        const at = indexOf.call(this, word, from);
        count += 1 + (at < 0 ? this.length : at) - from;
        return at;
      }),
      vi.spyOn(URL, "canParse").mockImplementation((address: string | URL) => {
        count += String(address).length;
        return canParse(address);
      }),
    ];
    f();
    spies.forEach((spy) => spy.mockRestore());
    return count;
  }

  it.each([
    ["*"], ["**a"], ["`"], ["```"], ["@"], ["https://"], ["https://[("], ["Https://%zz"], ["https://[*"], ["("], ["http://a/("], ["*a* "],
    ["\n*"], ["*`*`"], ["**`*`*a"], ["@ann"], ["@a."],
  ])("takes linear time for a body of %j", (word) => {
    const of = (size: number): number => steps(() => parseBody(word.repeat(Math.floor(size / word.length)), ANN));
    expect(of(64 << 10) / of(4 << 10)).toBeLessThan(2 * 16); // quadratic time would give 256
  });
});

describe("the test vectors shared with the server", () => {
  const flat = (nodes: readonly Inline[]): readonly Inline[] => nodes.flatMap((n) => ("children" in n ? flat(n.children) : [n]));
  const read = (body: string, names: readonly string[]): readonly Inline[] =>
    parseBody(body, new Map(names.map((n) => [n, false]))).flatMap((block) => (block.kind === "code" ? [] : flat(block.children)));

  it.each(vectors<{ body: string; names: string[][]; everyone: boolean }>("mentions"))("mentions: $body", ({ body, names, everyone }) => {
    const mentioned = (known: readonly string[]): ReadonlySet<string> =>
      new Set(read(body, known).flatMap((n) => (n.kind === "mention" ? [n.name.toLowerCase()] : [])));
    const others = ["bob", "eve", "all", "here", "everyone", "channel"];
    const everybody = everyone ? ["channel"] : [];
    expect(mentioned([...others, ...names.flat()])).toEqual(new Set([...names.map((n) => n[0]), ...everybody]));
    expect(mentioned([...names.map((n) => n.at(-1) ?? ""), "channel"])).toEqual(new Set([...names.map((n) => n.at(-1)), ...everybody]));
  });

  it.each(vectors<{ body: string; links: { text: string; href: string }[] }>("links"))("links: $body", ({ body, links }) => {
    expect(read(body, []).flatMap((n) => (n.kind === "link" ? [{ text: n.text, href: n.href }] : []))).toEqual(links);
  });
});

describe("webAddress", () => {
  it.each(["javascript:alert(1)", "data:text/html,x", "ftp://a.example", "//a.example", "https://", "vbscript:x"])("refuses %s", (address) => {
    expect(webAddress(address)).toBeUndefined();
  });
});

describe("plainText", () => {
  it("returns one line of at most the given length", () => {
    expect(plainText("a\n\n **b** ```c```\n@ann", 20)).toBe("a b c @ann");
    expect(plainText("abcdefghij", 5)).toBe("abcd…");
  });
});
