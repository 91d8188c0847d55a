/**
 * Parses the formatting marks in a body: the part of CommonMark that people type in a chat, plus
 * strikethrough and tables. markdown-it finds the blocks and the inline marks; `markdown-rules.ts`
 * adapts its rules to a chat. Parsing takes linear time for any body.
 */

import type { Token } from "markdown-it";

import { blockTokens, inlineTokens } from "./markdown-rules";
import { add, type Align, type Block, type Inline, type Item, type MentionedNames, NOBODY } from "./markup";

/**
 * MAX_DEPTH limits the nesting of emphasis. Formatting marks at greater depths are shown as typed,
 * so that a body cannot cause unbounded recursion.
 */
const MAX_DEPTH = 4;

/**
 * parseBody parses a body. Only the names in `mentioned` become mentions, because the server
 * decides which users are mentioned.
 */
export function parseBody(body: string, mentioned: MentionedNames = NOBODY): readonly Block[] {
  return new Reader(blockTokens(body.replace(/\r\n?/g, "\n")), mentioned).blocks();
}

/** Reader converts markdown-it's flat list of tokens to a tree. */
class Reader {
  private at = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly mentioned: MentionedNames,
  ) {}

  /** next returns the next token, or undefined at the end of the enclosing block. */
  private next(): Token | undefined {
    const token = this.tokens[this.at++];
    return token === undefined || token.nesting < 0 ? undefined : token;
  }

  blocks(): readonly Block[] {
    const blocks: Block[] = [];
    for (let token = this.next(); token !== undefined; token = this.next()) {
      blocks.push(this.block(token));
    }
    return blocks;
  }

  private block(token: Token): Block {
    switch (token.type) {
      case "fence":
        return codeBlock(token);
      case "blockquote_open":
        return { kind: "quote", children: this.blocks() };
      case "bullet_list_open":
      case "ordered_list_open":
        return { kind: "list", marker: token.markup, items: this.items() };
      case "table_open":
        return this.table();
      default:
        return this.paragraph();
    }
  }

  private items(): readonly Item[] {
    const items: Item[] = [];
    for (let token = this.next(); token !== undefined; token = this.next()) {
      items.push({ number: token.info === "" ? undefined : Number(token.info), children: this.blocks() });
    }
    return items;
  }

  private paragraph(): Block {
    const inline = this.next();
    const children = [...this.inlines(inline?.content ?? "")];
    add(children, { kind: "text", text: metaOf<string>(inline, "space") ?? "" });
    this.next(); // the end of the paragraph
    return { kind: "paragraph", children };
  }

  private table(): Block {
    const aligns: Align[] = [];
    const rows: (readonly Inline[])[][] = [];
    for (let depth = 1; depth > 0; this.at++) {
      const token = this.tokens[this.at];
      depth += token?.nesting ?? -1;
      if (token?.type === "tr_open") {
        rows.push((metaOf<readonly string[]>(token, "cells") ?? []).map((cell) => this.inlines(cell)));
      } else if (token?.type === "th_open") {
        aligns.push((/\w+$/.exec(String(token.attrGet("style") ?? ""))?.[0] ?? "") as Align);
      }
    }
    return { kind: "table", aligns, rows };
  }

  private inlines(text: string): readonly Inline[] {
    return inlineTree(inlineTokens(text, this.mentioned));
  }
}

/** metaOf returns a value that one of our rules stored in a token. */
const metaOf = <T>(token: Token | undefined, key: string): T | undefined => token?.meta?.[key] as T | undefined;

function codeBlock(token: Token): Block {
  const [from, to] = token.map ?? [0, 0];
  let text = token.content.replace(/\n$/, "");
  const closed = to - from === (token.content === "" ? 0 : text.split("\n").length) + 2;
  if (!closed && text.endsWith(token.markup) && /\S/.test(text.charAt(text.length - token.markup.length - 1))) {
    text = text.slice(0, -token.markup.length); // closed at the end of its last line
  }
  return { kind: "code", language: token.info.trim(), text };
}

/** inlineTree nests the nodes between opening and closing tokens. */
function inlineTree(tokens: readonly Token[]): readonly Inline[] {
  const kinds = { em_open: "emphasis", strong_open: "strong", s_open: "struck" } as const;
  const root: Inline[] = [];
  const open: Inline[][] = [root];
  let depth = 0;
  for (const token of tokens) {
    const nodes = open.at(-1) ?? root;
    if (token.type === "piece") {
      add(nodes, metaOf<Inline>(token, "node") ?? { kind: "text", text: "" });
    } else if (token.type === "code_inline") {
      add(nodes, { kind: "code", text: token.content });
    } else if (token.type === "link_open") {
      open.push(openLink(token, nodes));
    } else if (token.type === "link_close") {
      if (open.pop() === open.at(-1)) {
        add(open.at(-1) ?? root, { kind: "text", text: "]()" });
      }
    } else if (token.nesting === 0) {
      add(nodes, { kind: "text", text: token.content });
    } else if (token.nesting > 0) {
      depth++;
      if (depth > MAX_DEPTH) {
        add(nodes, { kind: "text", text: token.markup });
        continue;
      }
      const children: Inline[] = [];
      add(nodes, { kind: kinds[token.type as keyof typeof kinds], children });
      open.push(children);
    } else {
      if (depth > MAX_DEPTH) {
        add(nodes, { kind: "text", text: token.markup });
      } else {
        open.pop();
      }
      depth--;
    }
  }
  return root;
}

/**
 * openLink adds a link and returns the list to which the link's content is added. A link without a
 * destination is shown as typed.
 */
function openLink(token: Token, nodes: Inline[]): Inline[] {
  const href = String(token.attrGet("href") ?? "");
  if (href === "") {
    add(nodes, { kind: "text", text: "[" });
    return nodes;
  }
  const title = token.attrGet("title");
  const children: Inline[] = [];
  add(nodes, { kind: "link", href, children, ...(title === null ? {} : { title: String(title) }) });
  return children;
}
