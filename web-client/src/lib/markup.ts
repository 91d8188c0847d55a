/**
 * Parses a message body into a tree. A body is plain text: nothing here produces HTML, and the page
 * creates its own elements from the tree. The parser supports ``` blocks, `code`, **bold**,
 * *italic*, links and @mentions; unclosed marks are shown as typed. Parsing takes linear time for
 * any body.
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

/** MAX_DEPTH limits the nesting of marks, so that a body cannot cause unbounded recursion. */
const MAX_DEPTH = 4;

const FENCE = "```";

/**
 * MentionedNames maps each name that a message mentions, in lower case, to whether it refers to the
 * reader.
 */
export type MentionedNames = ReadonlyMap<string, boolean>;

const NONE: MentionedNames = new Map();

/**
 * parseBody parses a body. Only the names in `mentioned` become mentions, because the server
 * decides which users are mentioned.
 */
export function parseBody(body: string, mentioned: MentionedNames = NONE): readonly Block[] {
  const blocks: Block[] = [];
  let at = 0;
  while (at < body.length) {
    const open = body.indexOf(FENCE, at);
    const close = open < 0 ? -1 : body.indexOf(FENCE, open + FENCE.length);
    if (close < 0) {
      break;
    }
    addParagraph(blocks, body.slice(at, open), mentioned);
    blocks.push(codeBlock(body.slice(open + FENCE.length, close)));
    at = close + FENCE.length;
    if (body[at] === "\n") {
      at++;
    }
  }
  addParagraph(blocks, body.slice(at), mentioned);
  return blocks;
}

function addParagraph(blocks: Block[], text: string, mentioned: MentionedNames): void {
  const trimmed = text.replace(/\n$/, "");
  if (trimmed !== "") {
    blocks.push({ kind: "paragraph", children: parseInline(trimmed, 0, mentioned) });
  }
}

function codeBlock(inside: string): Block {
  const line = /^([A-Za-z0-9+#.-]{0,20})\n/.exec(inside);
  const text = line === null ? inside : inside.slice(line[0].length);
  return { kind: "code", language: line?.[1] ?? "", text: text.replace(/\n$/, "") };
}

/** A link ends at white space, quotes, angle brackets, and full-width punctuation. */
const LINK = /https?:\/\/[^\s<>"'`\u2018-\u201f\u2026\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/iy;
const PLAIN = /[^`*@hH]+/y;

function parseInline(text: string, depth: number, mentioned: MentionedNames): readonly Inline[] {
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
    const found = token(text, at, depth, mentioned);
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

function token(text: string, at: number, depth: number, mentioned: MentionedNames): Token | undefined {
  switch (text[at]) {
    case "`":
      return code(text, at);
    case "*":
      return text[at + 1] === "*" ? marked("strong", "**", text, at, depth, mentioned) : marked("emphasis", "*", text, at, depth, mentioned);
    case "@":
      return mention(text, at, mentioned);
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
  mentioned: MentionedNames,
): Token | undefined {
  const from = at + mark.length;
  const close = depth < MAX_DEPTH ? outsideCode(text, mark, from) : -1;
  if (close <= from) {
    return undefined;
  }
  const inside = text.slice(from, close);
  // A mark must touch the text that it marks ("2 * 3 * 4" is arithmetic) and cannot span lines.
  if (/^\s|\s$|\n/.test(inside)) {
    return undefined;
  }
  return { inline: { kind, children: parseInline(inside, depth + 1, mentioned) }, end: close + mark.length };
}

/** outsideCode returns the next position of a mark that is not inside code, or -1. */
function outsideCode(text: string, mark: string, from: number): number {
  let close = text.indexOf(mark, from);
  for (let at = from; close >= 0; ) {
    const open = at + text.slice(at, close).indexOf("`"); // search only up to close: searching all the text each time would be quadratic
    const end = open < at ? -1 : text.indexOf("`", open + 1);
    if (end < 0) {
      return close;
    }
    at = end === open + 1 ? end : end + 1; // two adjacent backticks are not code, and the second one may start a code span
    close = close < at ? text.indexOf(mark, at) : close;
  }
  return -1;
}

function mention(text: string, at: number, mentioned: MentionedNames): Token | undefined {
  const name = meaningsAt(text, at).find((n) => mentioned.has(n));
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
  // Skip an invalid address as a whole: searching for another one within it would take quadratic
  // time.
  return href === undefined
    ? { inline: { kind: "text", text: found }, end: at + found.length }
    : { inline: { kind: "link", href, text: address }, end: at + address.length };
}

/**
 * withoutTrailingPunctuation removes punctuation that ends the sentence, and a closing bracket
 * whose opening bracket precedes the address.
 */
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

/**
 * webAddress returns the address normalized by the browser if it is an http or https URL. No other
 * address may become a link.
 */
export function webAddress(address: string): string | undefined {
  if (!URL.canParse(address)) {
    return undefined;
  }
  const url = new URL(address);
  return (url.protocol === "https:" || url.protocol === "http:") && url.hostname !== "" ? url.href : undefined;
}

/** plainText returns a body as one line without marks, for previews and notifications. */
export function plainText(body: string, length: number): string {
  const words = parseBody(body).map((block) => (block.kind === "code" ? block.text : textOf(block.children)));
  const line = words.join(" ").replace(/\s+/g, " ").trim();
  return clip(line, length);
}

function textOf(nodes: readonly Inline[]): string {
  return nodes.map((n) => (n.kind === "mention" ? `@${n.name}` : "children" in n ? textOf(n.children) : n.text)).join("");
}
