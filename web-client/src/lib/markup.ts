/**
 * The tree of a message body, and the parser for bodies without formatting marks, which finds only
 * links and mentions. A body is plain text: nothing here produces HTML, and the page creates its
 * own elements from the tree. `markdown.ts` parses bodies with formatting marks.
 */

import { clip } from "./clusters";
import { meaningsAt } from "./mention";

export type Inline =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "link"; readonly href: string; readonly title?: string; readonly children: readonly Inline[] }
  | { readonly kind: "mention"; readonly name: string }
  | { readonly kind: "strong" | "emphasis" | "struck"; readonly children: readonly Inline[] };

export type Block =
  | { readonly kind: "paragraph"; readonly children: readonly Inline[] }
  | { readonly kind: "code"; readonly language: string; readonly text: string }
  | { readonly kind: "quote"; readonly children: readonly Block[] }
  | List
  | Table;

export interface List {
  readonly kind: "list";
  /** The character that ends the marker of each item: `-`, `*`, `+`, `.` or `)`. */
  readonly marker: string;
  readonly items: readonly Item[];
}

export interface Item {
  /** The number as typed; undefined in a list with bullets. */
  readonly number: number | undefined;
  readonly children: readonly Block[];
}

export interface Table {
  readonly kind: "table";
  /** The alignment of each column; "" if the body does not specify it. */
  readonly aligns: readonly Align[];
  /**
   * The cells of each row. The first row is the head. Other rows may have fewer or more cells than
   * the head.
   */
  readonly rows: readonly (readonly (readonly Inline[])[])[];
}

export type Align = "" | "left" | "center" | "right";

export interface Mentioned {
  /** undefined if the name stands for everyone. */
  readonly userID?: string;
  /** Whether the name refers to the reader. */
  readonly me: boolean;
}

/** MentionedNames contains the names that a message mentions, in lower case. */
export type MentionedNames = ReadonlyMap<string, Mentioned>;

export const NOBODY: MentionedNames = new Map();

/** Matches anything that may be a formatting mark. */
const MARK = /[*_~`[]|^[ \t]*(?:[>+-]|\d{1,9}[.)])\s|\|[^|\n]*\n[ \t]*[|:-]/m;

/**
 * mayHaveMarks reports whether a body may contain formatting marks. If not, `unmarked` parses it
 * completely.
 */
export const mayHaveMarks = (body: string): boolean => MARK.test(body);

/**
 * unmarked returns a body as one paragraph with its links and mentions. Formatting marks are shown
 * as typed.
 */
export function unmarked(body: string, mentioned: MentionedNames = NOBODY): readonly Block[] {
  const children: Inline[] = [];
  let plain = 0;
  START.lastIndex = 0;
  for (let found = START.exec(body); found !== null; found = START.exec(body)) {
    const piece = pieceAt(body, found.index, mentioned);
    if (piece !== undefined) {
      addText(children, body.slice(plain, found.index));
      add(children, piece.inline);
      plain = piece.end;
      START.lastIndex = piece.end;
    }
  }
  addText(children, body.slice(plain));
  return [{ kind: "paragraph", children }];
}

/** add appends a node. Adjacent text nodes are merged. */
export function add(nodes: Inline[], node: Inline): void {
  if (node.kind === "text") {
    addText(nodes, node.text);
  } else {
    nodes.push(node);
  }
}

function addText(nodes: Inline[], text: string): void {
  const last = nodes.at(-1);
  if (last?.kind === "text") {
    nodes[nodes.length - 1] = { kind: "text", text: last.text + text };
  } else if (text !== "") {
    nodes.push({ kind: "text", text });
  }
}

/** Characters at which a link or a mention may start. */
const START = /[@hH]/g;

export interface Piece {
  readonly inline: Inline;
  readonly end: number;
}

/** pieceAt returns the link or the mention that starts at an index. */
export function pieceAt(text: string, at: number, mentioned: MentionedNames): Piece | undefined {
  return text[at] === "@" ? mention(text, at, mentioned) : link(text, at);
}

function mention(text: string, at: number, mentioned: MentionedNames): Piece | undefined {
  const name = meaningsAt(text, at).find((n) => mentioned.has(n));
  if (name === undefined) {
    return undefined;
  }
  const end = at + 1 + name.length;
  return { inline: { kind: "mention", name: text.slice(at + 1, end) }, end };
}

/** A link ends at white space, quotes, angle brackets, and full-width punctuation. */
const LINK = /https?:\/\/[^\s<>"'`\u2018-\u201f\u2026\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/iy;

function link(text: string, at: number): Piece | undefined {
  if (at > 0 && /[A-Za-z0-9]/.test(text[at - 1] ?? "")) {
    return undefined;
  }
  LINK.lastIndex = at;
  const run = LINK.exec(text)?.[0];
  if (run === undefined) {
    return undefined;
  }
  // In [address](destination), the label ends before the destination.
  const found = run.split("](", 1)[0] ?? run;
  const address = withoutTrailingPunctuation(found);
  const href = webAddress(address);
  // Skip an invalid address as a whole: searching for another one within it would take quadratic
  // time.
  return href === undefined
    ? { inline: { kind: "text", text: found }, end: at + found.length }
    : { inline: { kind: "link", href, children: [{ kind: "text", text: address }] }, end: at + address.length };
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
 * webAddress returns an http or https URL as normalized by the browser. It returns undefined for
 * any other address, which must not become a link.
 */
export function webAddress(address: string): string | undefined {
  if (!URL.canParse(address)) {
    return undefined;
  }
  const url = new URL(address);
  return (url.protocol === "https:" || url.protocol === "http:") && url.hostname !== "" ? url.href : undefined;
}

/**
 * hiddenHost returns the host of a link whose label looks like the address of another host, or
 * undefined. The page shows that host, so that a label cannot deceive readers.
 */
export function hiddenHost(href: string, label: string): string | undefined {
  const { host } = new URL(href);
  const shown = /^(?:[a-z]+:\/\/)?((?:[\p{L}\p{Nd}-]+\.)+[\p{L}\p{Nd}-]{2,}(?::\d+)?)(?:[/?#]|$)/iu.exec(label.trim())?.[1];
  return shown === undefined || shown.toLowerCase() === host ? undefined : host;
}

/** oneLine returns the text of the blocks as one line of at most `length` UTF-16 code units. */
export function oneLine(blocks: readonly Block[], length: number): string {
  return clip(blocks.map(textOfBlock).join(" ").replace(/\s+/g, " ").trim(), length);
}

function textOfBlock(block: Block): string {
  switch (block.kind) {
    case "paragraph":
      return textOf(block.children);
    case "code":
      return block.text;
    case "quote":
      return block.children.map(textOfBlock).join(" ");
    case "list":
      return block.items.flatMap((item) => item.children.map(textOfBlock)).join(" ");
    case "table":
      return block.rows.map((row) => row.map(textOf).join(" ")).join(" ");
  }
}

/** textOf returns the text that nodes show. */
export function textOf(nodes: readonly Inline[]): string {
  return nodes.map((n) => (n.kind === "mention" ? `@${n.name}` : "children" in n ? textOf(n.children) : n.text)).join("");
}
