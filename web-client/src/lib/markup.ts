/**
 * What a body says, as a tree. A body is text and stays text: nothing here makes HTML, and the page turns the tree
 * into elements of its own. Known are ``` blocks, `code`, **bold**, *italic*, links and @mentions; whatever does not
 * close is shown as it was typed. Reading takes time in proportion to the body, whatever is in it.
 */

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

export function parseBody(body: string): readonly Block[] {
  const blocks: Block[] = [];
  let at = 0;
  while (at < body.length) {
    const open = body.indexOf(FENCE, at);
    const close = open < 0 ? -1 : body.indexOf(FENCE, open + FENCE.length);
    if (close < 0) {
      break;
    }
    addParagraph(blocks, body.slice(at, open));
    blocks.push(codeBlock(body.slice(open + FENCE.length, close)));
    at = close + FENCE.length;
    if (body[at] === "\n") {
      at++;
    }
  }
  addParagraph(blocks, body.slice(at));
  return blocks;
}

function addParagraph(blocks: Block[], text: string): void {
  const trimmed = text.replace(/\n$/, "");
  if (trimmed !== "") {
    blocks.push({ kind: "paragraph", children: parseInline(trimmed, 0) });
  }
}

function codeBlock(inside: string): Block {
  const line = /^([A-Za-z0-9+#.-]{0,20})\n/.exec(inside);
  const text = line === null ? inside : inside.slice(line[0].length);
  return { kind: "code", language: line?.[1] ?? "", text: text.replace(/\n$/, "") };
}

const LINK = /https?:\/\/[^\s<>"'`]+/y;
const MENTION = /@([A-Za-z0-9_.-]{1,50})/y;
const PLAIN = /[^`*@h]+/y;

function parseInline(text: string, depth: number): readonly Inline[] {
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
    const found = token(text, at, depth);
    if (found === undefined) {
      plain += text[at] ?? "";
      at++;
      continue;
    }
    flush();
    out.push(found.inline);
    at = found.end;
  }
  flush();
  return out;
}

interface Token {
  readonly inline: Inline;
  readonly end: number;
}

function token(text: string, at: number, depth: number): Token | undefined {
  switch (text[at]) {
    case "`":
      return code(text, at);
    case "*":
      return text[at + 1] === "*" ? marked("strong", "**", text, at, depth) : marked("emphasis", "*", text, at, depth);
    case "@":
      return mention(text, at);
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
): Token | undefined {
  const from = at + mark.length;
  const close = depth < MAX_DEPTH ? text.indexOf(mark, from) : -1;
  if (close <= from) {
    return undefined;
  }
  const inside = text.slice(from, close);
  // "2 * 3 * 4" is arithmetic: a mark touches what it marks. And no mark reaches over a line.
  if (/^\s|\s$|\n/.test(inside)) {
    return undefined;
  }
  return { inline: { kind, children: parseInline(inside, depth + 1) }, end: close + mark.length };
}

function mention(text: string, at: number): Token | undefined {
  // An @ within a word is an address, not a call.
  if (at > 0 && /[A-Za-z0-9_.-]/.test(text[at - 1] ?? "")) {
    return undefined;
  }
  MENTION.lastIndex = at;
  const name = MENTION.exec(text)?.[1]?.replace(/[.-]+$/, "");
  return name === undefined || name === "" ? undefined : { inline: { kind: "mention", name }, end: at + 1 + name.length };
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
  return href === undefined ? undefined : { inline: { kind: "link", href, text: address }, end: at + address.length };
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
  return line.length <= length ? line : line.slice(0, length - 1).trimEnd() + "…";
}

function textOf(nodes: readonly Inline[]): string {
  return nodes.map((n) => (n.kind === "mention" ? `@${n.name}` : "children" in n ? textOf(n.children) : n.text)).join("");
}
