/**
 * What a body says, as a tree. A body is text and stays text: nothing here makes HTML, and the page turns the tree
 * into elements of its own. Known are ``` blocks, `code`, **bold**, *italic*, links and @mentions; whatever does not
 * close is shown as it was typed. Reading takes time in proportion to the body, whatever is in it.
 */

import { clip } from "./clusters";
import { meaningsAt } from "./mention";

export type Inline =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "link"; readonly href: string; readonly text: string }
  | { readonly kind: "mention"; readonly name: string }
  | { readonly kind: "strong" | "emphasis"; readonly children: readonly Inline[] };

export type Block =
  | { readonly kind: "paragraph"; readonly children: readonly Inline[] }
  | { readonly kind: "code"; readonly language: string; readonly text: string };

/** Marks within marks, at most: a body cannot make the page recurse as deep as it likes. */
const MAX_DEPTH = 4;

const FENCE = "```";

/** The names that a message mentions, in lower case, and whether each calls the reader. */
export type Calls = ReadonlyMap<string, boolean>;

const NOBODY: Calls = new Map();

/** Reads a body. Only the names in `calls` are mentions: who is mentioned, the server decides. */
export function parseBody(body: string, calls: Calls = NOBODY): readonly Block[] {
  const blocks: Block[] = [];
  let at = 0;
  while (at < body.length) {
    const open = body.indexOf(FENCE, at);
    const close = open < 0 ? -1 : body.indexOf(FENCE, open + FENCE.length);
    if (close < 0) {
      break;
    }
    addParagraph(blocks, body.slice(at, open), calls);
    blocks.push(codeBlock(body.slice(open + FENCE.length, close)));
    at = close + FENCE.length;
    if (body[at] === "\n") {
      at++;
    }
  }
  addParagraph(blocks, body.slice(at), calls);
  return blocks;
}

function addParagraph(blocks: Block[], text: string, calls: Calls): void {
  const trimmed = text.replace(/\n$/, "");
  if (trimmed !== "") {
    blocks.push({ kind: "paragraph", children: parseInline(trimmed, 0, calls) });
  }
}

function codeBlock(inside: string): Block {
  const line = /^([A-Za-z0-9+#.-]{0,20})\n/.exec(inside);
  const text = line === null ? inside : inside.slice(line[0].length);
  return { kind: "code", language: line?.[1] ?? "", text: text.replace(/\n$/, "") };
}

/** An address ends at a blank, at quotes and angle brackets, and at the punctuation of scripts that write it in full width. */
const LINK = /https?:\/\/[^\s<>"'`\u2018-\u201f\u2026\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/iy;
const PLAIN = /[^`*@hH]+/y;

function parseInline(text: string, depth: number, calls: Calls): readonly Inline[] {
  const out: Inline[] = [];
  let plain = "";
  let at = 0;
  const flush = (): void => {
    if (plain !== "") {
      out.push({ kind: "text", text: plain });
      plain = "";
    }
  };
  while (at < text.length) {
    PLAIN.lastIndex = at;
    const run = PLAIN.exec(text);
    if (run !== null) {
      plain += run[0];
      at += run[0].length;
      continue;
    }
    const found = token(text, at, depth, calls);
    if (found === undefined) {
      plain += text[at] ?? "";
      at++;
      continue;
    }
    if (found.inline.kind === "text") {
      plain += found.inline.text;
    } else {
      flush();
      out.push(found.inline);
    }
    at = found.end;
  }
  flush();
  return out;
}

interface Token {
  readonly inline: Inline;
  readonly end: number;
}

function token(text: string, at: number, depth: number, calls: Calls): Token | undefined {
  switch (text[at]) {
    case "`":
      return code(text, at);
    case "*":
      return text[at + 1] === "*" ? marked("strong", "**", text, at, depth, calls) : marked("emphasis", "*", text, at, depth, calls);
    case "@":
      return mention(text, at, calls);
    default:
      return link(text, at);
  }
}

function code(text: string, at: number): Token | undefined {
  const close = text.indexOf("`", at + 1);
  if (close <= at + 1) {
    return undefined;
  }
  return { inline: { kind: "code", text: text.slice(at + 1, close) }, end: close + 1 };
}

function marked(
  kind: "strong" | "emphasis",
  mark: string,
  text: string,
  at: number,
  depth: number,
  calls: Calls,
): Token | undefined {
  const from = at + mark.length;
  const close = depth < MAX_DEPTH ? outsideCode(text, mark, from) : -1;
  if (close <= from) {
    return undefined;
  }
  const inside = text.slice(from, close);
  // "2 * 3 * 4" is arithmetic: a mark touches what it marks. And no mark reaches over a line.
  if (/^\s|\s$|\n/.test(inside)) {
    return undefined;
  }
  return { inline: { kind, children: parseInline(inside, depth + 1, calls) }, end: close + mark.length };
}

/** Where a mark comes next that is not in code, or -1. */
function outsideCode(text: string, mark: string, from: number): number {
  let close = text.indexOf(mark, from);
  for (let at = from; close >= 0; ) {
    const open = at + text.slice(at, close).indexOf("`"); // no further: it may be that no backtick follows at all
    const end = open < at ? -1 : text.indexOf("`", open + 1);
    if (end < 0) {
      return close;
    }
    at = end === open + 1 ? end : end + 1; // two backticks in a row are not code, and the second may open some
    close = close < at ? text.indexOf(mark, at) : close;
  }
  return -1;
}

function mention(text: string, at: number, calls: Calls): Token | undefined {
  const name = meaningsAt(text, at).find((n) => calls.has(n));
  if (name === undefined) {
    return undefined;
  }
  const end = at + 1 + name.length;
  return { inline: { kind: "mention", name: text.slice(at + 1, end) }, end };
}

function link(text: string, at: number): Token | undefined {
  if (at > 0 && /[A-Za-z0-9]/.test(text[at - 1] ?? "")) {
    return undefined;
  }
  LINK.lastIndex = at;
  const found = LINK.exec(text)?.[0];
  if (found === undefined) {
    return undefined;
  }
  const address = withoutTrailingPunctuation(found);
  const href = webAddress(address);
  // What is no address is passed over whole: looking for another one within it would take quadratic time.
  return href === undefined
    ? { inline: { kind: "text", text: found }, end: at + found.length }
    : { inline: { kind: "link", href, text: address }, end: at + address.length };
}

/** What ends a sentence is not of the address, nor is a bracket that was opened before it. */
function withoutTrailingPunctuation(address: string): string {
  let end = address.length;
  let open = 0;
  for (const c of address) {
    open += c === "(" ? 1 : c === ")" ? -1 : 0;
  }
  for (; end > 0; end--) {
    const last = address[end - 1] ?? "";
    if (last === ")" && open < 0) {
      open++;
    } else if (!".,;:!?*]}".includes(last)) {
      break;
    }
  }
  return address.slice(0, end);
}

/** The address as the browser reads it, if it is one of the web: nothing else may become a link. */
export function webAddress(address: string): string | undefined {
  if (!URL.canParse(address)) {
    return undefined;
  }
  const url = new URL(address);
  return (url.protocol === "https:" || url.protocol === "http:") && url.hostname !== "" ? url.href : undefined;
}

/** A body in one line, without marks: for previews and notifications. */
export function plainText(body: string, length: number): string {
  const words = parseBody(body).map((block) => (block.kind === "code" ? block.text : textOf(block.children)));
  const line = words.join(" ").replace(/\s+/g, " ").trim();
  return clip(line, length);
}

function textOf(nodes: readonly Inline[]): string {
  return nodes.map((n) => (n.kind === "mention" ? `@${n.name}` : "children" in n ? textOf(n.children) : n.text)).join("");
}
