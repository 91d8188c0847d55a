import { describe, expect, it } from "vitest";

import { parseBody } from "./markdown";
import { type Block, type Inline, mayHaveMarks, oneLine, textOf, unmarked } from "./markup";
import { stepsOf } from "./steps";
import { vectors } from "./vectors";

const ANN = new Map([["ann", { me: true }]]);

const text = (t: string): Inline => ({ kind: "text", text: t });
const paragraph = (...children: readonly (Inline | string)[]): Block => ({ kind: "paragraph", children: children.map((c) => (typeof c === "string" ? text(c) : c)) });
const em = (t: string): Inline => ({ kind: "emphasis", children: [text(t)] });
const strong = (t: string): Inline => ({ kind: "strong", children: [text(t)] });
const link = (t: string, href: string): Inline => ({ kind: "link", href, children: [text(t)] });

describe("inline marks", () => {
  it.each<[string, readonly (Inline | string)[]]>([
    ["hello there", ["hello there"]],
    ["run `make` now", ["run ", { kind: "code", text: "make" }, " now"]],
    ["**yes**!", [strong("yes"), "!"]],
    ["*so* _so_ ~~not~~", [em("so"), " ", em("so"), " ", { kind: "struck", children: [text("not")] }]],
    ["**a *b* c**", [{ kind: "strong", children: [text("a "), em("b"), text(" c")] }]],
    ["这是**重点**内容", ["这是", strong("重点"), "内容"]],
    ["`**x**`", [{ kind: "code", text: "**x**" }]],
    ["hi @ann. Not @bob", ["hi ", { kind: "mention", name: "ann" }, ". Not @bob"]],
    ["*@ann*", [{ kind: "emphasis", children: [{ kind: "mention", name: "ann" }] }]],
    ["[tea](https://a.example/tea)", [link("tea", "https://a.example/tea")]],
    ["[https://a.example](https://a.example)", [link("https://a.example", "https://a.example/")]],
    ["**https://a.example/*x**", [{ kind: "strong", children: [link("https://a.example/*x", "https://a.example/*x")] }]],
    ["look: ```a b\n  c` d``` e", ["look: ", { kind: "code", text: "a b\n  c` d" }, " e"]],
  ])("%j", (body, want) => {
    expect(parseBody(body, ANN)).toEqual([paragraph(...want)]);
  });

  it.each([
    "2*3*4 = 24 and *.go, a*b*c",
    "(3+2)*4*(5+6)",
    "**kwargs and *args, f(*args, **kwargs)",
    "char *p, *q; /* why */ *p++",
    "*.ts *.go and .*regex.*",
    "snake_case_name __init__ a_b",
    "5 ~ 6, ~5 to ~6",
    'use "*" or "*"',
    "unclosed **no `end",
    "\\*not\\* C:\\_temp \\d+\\.\\d*",
    "&amp; &lt;b&gt; &#42;",
    "# not a heading",
    "---",
    "* * *",
    "***",
    "-",
    "1.",
    ">",
    ">:( >_<",
    ">>> print(1)",
    "[x]: https://a.example",
    "[x](javascript:alert(1))",
    "[x]()",
    "![x](data:x)",
    "<b>x</b> <https://a.example> <!-- x -->",
    "    four spaces",
    "a\n\n\n  b\n c",
    "+1 agreed",
    "| not | a table |",
    "``` never closed",
    "```",
    "wrap it in ```",
  ])("shows %j as typed", (body) => {
    const blocks = parseBody(body);
    expect(blocks.map((b) => (b.kind === "paragraph" ? textOf(b.children) : JSON.stringify(b))).join("")).toBe(body);
    expect(JSON.stringify(blocks)).not.toMatch(/"kind":"(?:strong|emphasis|struck|code)"/);
  });
});

describe("blocks", () => {
  it.each<[string, readonly Block[]]>([
    ["a\n> b\nc", [paragraph("a\n"), { kind: "quote", children: [paragraph("b")] }, paragraph("c")]],
    ["> a\n> > b", [{ kind: "quote", children: [paragraph("a\n"), { kind: "quote", children: [paragraph("b")] }] }]],
    [
      "- a\n- b\nc",
      [
        {
          kind: "list",
          marker: "-",
          items: [
            { number: undefined, children: [paragraph("a\n")] },
            { number: undefined, children: [paragraph("b\n")] },
          ],
        },
        paragraph("c"),
      ],
    ],
    [
      "3) a\n7) b",
      [
        {
          kind: "list",
          marker: ")",
          items: [
            { number: 3, children: [paragraph("a\n")] },
            { number: 7, children: [paragraph("b")] },
          ],
        },
      ],
    ],
    ["before\n```go\nx := `1`\n```\nafter", [paragraph("before\n"), { kind: "code", language: "go", text: "x := `1`" }, paragraph("after")]],
    ["look: ```go\na\n  b\n```\nafter", [paragraph("look:\n"), { kind: "code", language: "go", text: "a\n  b" }, paragraph("after")]],
    ["```\nuntil the end", [{ kind: "code", language: "", text: "until the end" }]],
    ["```go\nat the end of a line```", [{ kind: "code", language: "go", text: "at the end of a line" }]],
    ["```one line```", [paragraph({ kind: "code", text: "one line" })]],
    [
      "a | b\n--|-:\n1 | 2 | 3\n4",
      [
        {
          kind: "table",
          aligns: ["", "right"],
          rows: [[[text("a")], [text("b")]], [[text("1")], [text("2")], [text("3")]], [[text("4")]]],
        },
      ],
    ],
  ])("%j", (body, want) => {
    expect(parseBody(body)).toEqual(want);
  });
});

/** random returns a generator of reproducible random integers below a limit. */
function random(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** shown returns all text that a reader sees, including the languages of code. */
const shown = (blocks: readonly Block[]): string =>
  blocks
    .map((b) => {
      switch (b.kind) {
        case "paragraph":
          return textOf(b.children);
        case "code":
          return b.language + "\n" + b.text;
        case "quote":
          return shown(b.children);
        case "list":
          return b.items.map((item) => shown(item.children)).join("\n");
        case "table":
          return b.rows.map((row) => row.map(textOf).join(" ")).join("\n");
      }
    })
    .join("\n");

describe("characters never vanish", () => {
  const DESTINATION = "https://a.example/d";
  const LETTERS = "xwordgnbé字👍";
  const words = ["*", "**", "_", "__", "~~", "~", "`", "``", "```", "```go\n", "\n", "\n\n", "\n> ", "\n- ", "\n* ", "\n  - ", "\n7. ", "\n2) ", ">", "|", "|-", "\n|-|-|\n", "@ann", "@bob", "[", "]", `](${DESTINATION})`, "](x)", "![", "(", ")", "\\", "&amp;", "#", "-", "+", ".", ",", '"', " ", " ", " ", "x", "word", "é", "字", "👍", "5", "http://b.example/(x)"];

  it("in 10,000 random bodies, except the marks of what is shown", () => {
    const pick = random(20);
    for (let round = 0; round < 10_000; round++) {
      const body = Array.from({ length: 1 + pick(24) }, () => words[pick(words.length)] ?? "").join("").trim();
      const blocks = parseBody(body, ANN);
      const nodes = JSON.stringify(blocks);
      const has = (what: string): boolean => nodes.includes(`"kind":"${what}"`);
      const count = (what: RegExp): number => nodes.match(what)?.length ?? 0;
      const visible = shown(blocks);

      // The shown text is in the body, in the same order.
      let at = 0;
      for (const c of visible.replace(/\s/gu, "")) {
        at = body.indexOf(c, at) + 1;
        expect(at, `${JSON.stringify(body)} lacks ${JSON.stringify(c)}`).toBeGreaterThan(0);
      }
      // And whatever is not shown is a mark of a node.
      const gone = (of: string): number => [...body].filter((c) => of.includes(c)).length - [...visible].filter((c) => of.includes(c)).length;
      const links = count(/"href":"https:\/\/a\.example\/d","children":(?!\[\{"kind":"text","text":"https:)/g);
      const items = count(/"number"/g);
      const about = JSON.stringify({ body, blocks });
      expect(gone("*_"), about).toBe(2 * count(/"kind":"emphasis"/g) + 4 * count(/"kind":"strong"/g) + starItems(blocks));
      expect(gone(LETTERS), about).toBe(links * [...DESTINATION].filter((c) => LETTERS.includes(c)).length);
      expect(gone("["), about).toBe(links);
      expect(gone("]"), about).toBe(links);
      expect(gone('",#&!@'), about).toBe(0);
      if (!has("code")) {
        expect(gone("`"), about).toBe(0);
        expect(gone("~"), about).toBe(4 * count(/"kind":"struck"/g));
      }
      if (!has("table")) {
        expect(gone("|\\"), about).toBe(0);
        expect(gone("-+"), about).toBe(bulletItems(blocks));
      }
      if (!has("quote")) {
        expect(gone(">"), about).toBe(0);
      }
      if (items === 0) {
        expect(gone("52"), about).toBe(0);
      }
      if (blocks.every((b) => b.kind === "paragraph") && !/"kind":"(?!paragraph|text|mention)/.test(nodes)) {
        expect(blocks.map((b) => (b.kind === "paragraph" ? textOf(b.children) : "")).join(""), about).toBe(body);
      }
      if (!mayHaveMarks(body)) {
        expect(oneLine(unmarked(body, ANN), 1e6), about).toBe(oneLine(blocks, 1e6));
      }
    }
  });

  const itemsWith = (marks: string) => (blocks: readonly Block[]): number =>
    blocks.reduce((sum, b) => {
      const inside = b.kind === "quote" ? itemsWith(marks)(b.children) : b.kind === "list" ? b.items.reduce((n, item) => n + itemsWith(marks)(item.children), 0) : 0;
      return sum + inside + (b.kind === "list" && marks.includes(b.marker) ? b.items.length : 0);
    }, 0);
  const starItems = itemsWith("*");
  const bulletItems = itemsWith("-+");
});

describe("hostile bodies", () => {
  it.each([
    "*", "**a", "_a ", "a_ ", "*a_ ", "**_* ", "a**b c* ", "*a* ", "\n*", "*`*`", "**`*`*a", "~~a ", "a~~ ", "~", "~~~\n", "`", "``\\", "```", "```\n", "```go\nx\n",
    "@", "@ann", "@a.", "https://", "https://[(", "Https://%zz", "https://[*", "http://a/(", "h", "(", "[", "[a", "a]", "[ a_", "[ (](", "![[]()", "[a](<b", "[a](b",
    "[a](https://a.example)", "[]((", "](", "]([\n", "[](", "> ", ">", "\n> a", "\n>", "- ", "* ", "1. ", "\n- a", "\n1. a", "\n- ", "\n-", "\n * a\n   * b", "|", "|-", "a|b\n-|-\n", "|a|\n|-|\n",
    "a|b\n", "\n|-|", "\n", "\n\n a", " ", "\t", "    a\n", "#", "\\", "&amp;", "<", "字*", "👍_",
  ])("are parsed in linear time: %j", async (word) => {
    const of = (size: number): Promise<number> => stepsOf(() => parseBody(word.repeat(Math.floor(size / word.length)), ANN));
    expect((await of(16 << 10)) / (await of(2 << 10))).toBeLessThan(2 * 8); // quadratic time would give 64
  });

  it("are nested to a limited depth, with the rest as text", () => {
    const deep = "> ".repeat(1000) + "- ".repeat(1000) + "**a *b ".repeat(1000) + "c" + "* d**".repeat(1000);
    const depth = (node: unknown): number => (node !== null && typeof node === "object" ? 1 + Math.max(0, ...Object.values(node).map(depth)) : 0);
    const blocks = parseBody(deep);
    expect(depth(blocks)).toBeLessThan(50);
    expect(shown(blocks).replace(/\s/g, "").length).toBeGreaterThan(deep.replace(/\s/g, "").length - 100);
  });
});

describe("the test vectors shared with the server", () => {
  const flat = (nodes: readonly Inline[]): readonly Inline[] => nodes.flatMap((n) => ("children" in n && n.kind !== "link" ? flat(n.children) : [n]));
  const inlines = (blocks: readonly Block[]): readonly Inline[] =>
    blocks.flatMap((b) => (b.kind === "paragraph" ? flat(b.children) : b.kind === "quote" ? inlines(b.children) : b.kind === "list" ? b.items.flatMap((i) => inlines(i.children)) : []));
  const read = (body: string, names: readonly string[]): readonly Inline[] => inlines(parseBody(body, new Map(names.map((n) => [n, { me: false }]))));

  it.each(vectors<{ body: string; names: string[][]; everyone: boolean }>("mentions"))("mentions: $body", ({ body, names, everyone }) => {
    const mentioned = (known: readonly string[]): ReadonlySet<string> =>
      new Set(read(body, known).flatMap((n) => (n.kind === "mention" ? [n.name.toLowerCase()] : [])));
    const others = ["bob", "eve", "all", "here", "everyone", "channel"];
    const everybody = everyone ? ["channel"] : [];
    expect(mentioned([...others, ...names.flat()])).toEqual(new Set([...names.map((n) => n[0]), ...everybody]));
    expect(mentioned([...names.map((n) => n.at(-1) ?? ""), "channel"])).toEqual(new Set([...names.map((n) => n.at(-1)), ...everybody]));
  });

  it.each(vectors<{ body: string; links: { text: string; href: string }[] }>("links"))("links: $body", ({ body, links }) => {
    const found = (nodes: readonly Inline[]): unknown => nodes.flatMap((n) => (n.kind === "link" ? [{ text: textOf(n.children), href: n.href }] : []));
    expect(found(read(body, []))).toEqual(links);
    expect(found(inlines(unmarked(body)))).toEqual(links);
  });
});
