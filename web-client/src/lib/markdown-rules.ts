/**
 * markdown-it with the rules of a chat:
 *
 * - A line break is shown as a line break. A quote ends before a line without a quote mark, and a
 *   list item ends where its indentation ends.
 * - A formatting mark must be at a word boundary (`boundaries.ts`), and a block has text on its
 *   first line.
 * - No character vanishes except formatting marks: there are no escapes, entities, headings, rules,
 *   references or images.
 */

import MarkdownIt, { type StateBlock, type StateInline, type Token } from "markdown-it";

import { roleOf } from "./boundaries";
import { type MentionedNames, pieceAt, webAddress } from "./markup";

/** MAX_LEVEL limits the nesting of quotes and lists; a list and its item count as two levels. */
const MAX_LEVEL = 8;
/**
 * MAX_COLUMNS limits the columns of a table, because markdown-it fills each row that is too short
 * with empty cells.
 */
const MAX_COLUMNS = 20;

const md = new MarkdownIt({ maxNesting: 20 });
const { block, inline } = md;
md.normalizeLink = (address) => webAddress(address) ?? "";
md.validateLink = (address) => address !== "";

/** blockTokens returns the tokens of a body's blocks. Line breaks must be \n. */
export function blockTokens(body: string): readonly Token[] {
  const tokens: Token[] = [];
  block.parse(body, md, {}, tokens);
  return tokens;
}

/** inlineTokens returns the tokens of the text of a block. */
export function inlineTokens(text: string, mentioned: MentionedNames): readonly Token[] {
  const tokens: Token[] = [];
  inline.parse(text, md, { mentioned }, tokens);
  return tokens;
}

// Blocks

type BlockRule = (state: StateBlock, line: number, end: number, silent: boolean) => boolean;

/** blockRule returns one of markdown-it's own rules. */
function blockRule(name: string): BlockRule {
  block.ruler.enableOnly([name]);
  const [rule = (): boolean => false] = block.ruler.getRules("");
  return rule;
}

const [fence, blockquote, list, table] = [blockRule("fence"), blockRule("blockquote"), blockRule("list"), blockRule("table")];
block.ruler.enableOnly(["table", "fence", "blockquote", "list", "paragraph"]);

/**
 * when returns a rule that applies only if the text of the block's first line meets a condition.
 */
const when =
  (condition: (line: string, state: StateBlock) => boolean, rule: BlockRule): BlockRule =>
  (state, line, end, silent) =>
    condition(textOfLine(state, line), state) && rule(state, line, end, silent);

const textOfLine = (state: StateBlock, line: number): string =>
  state.src.slice((state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0), state.eMarks[line]);

/**
 * ending returns the markdown-it option for a rule whose block may interrupt blocks of the named
 * kinds.
 */
const ending = (...blocks: string[]): { alt: string[] } => ({ alt: blocks });

block.ruler.at("fence", when((line) => /^(?:`{3,}|~{3,})[ \t]*[\w+#.-]{0,20}[ \t]*$/.test(line), fenceWithContent), ending("paragraph", "blockquote", "list"));
block.ruler.at("blockquote", when((line, state) => state.level < MAX_LEVEL && /^>[ \t]+\S/.test(line), blockquote), ending("paragraph", "blockquote", "list"));
block.ruler.at(
  "list",
  when((line, state) => state.level < MAX_LEVEL && /^(?:[*+-]|\d{1,9}[.)])[ \t]+\S/.test(line) && !/^(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,})$/.test(line), list),
  ending("paragraph", "blockquote"),
);
block.ruler.at("table", when((line) => line.split("|").length <= MAX_COLUMNS + 2, wholeTable), ending("paragraph"));
block.ruler.at("paragraph", paragraph);
// Ends a quote before a line without a quote mark. markdown-it would add the line to the quote's
// last paragraph.
block.ruler.before("paragraph", "quote_end", (state, _line, _end, silent) => silent && state.parentType === "blockquote", ending("blockquote"));

/** fenceWithContent parses a fenced code block. A fence on the last line does not open a block. */
function fenceWithContent(state: StateBlock, line: number, end: number, silent: boolean): boolean {
  return line + 1 < end && fence(state, line, end, silent);
}

/**
 * wholeTable parses a table and stores the cells of each row in the row's token, because
 * markdown-it drops cells that have no header cell and fills short rows with empty cells.
 */
function wholeTable(state: StateBlock, line: number, end: number, silent: boolean): boolean {
  const before = state.tokens.length;
  if (!table(state, line, end, silent)) {
    return false;
  }
  for (const token of state.tokens.slice(before)) {
    if (token.type === "tr_open") {
      token.meta = { cells: cellsOf(textOfLine(state, token.map?.[0] ?? line)) };
    }
  }
  return true;
}

/** cellsOf splits a row at each | that does not follow a backslash. */
function cellsOf(row: string): readonly string[] {
  const cells = row.trim().split(/(?<!\\)\|/);
  if (cells[0] === "") {
    cells.shift();
  }
  if (cells.at(-1) === "") {
    cells.pop();
  }
  return cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** Matches a line of text that ends with the opening fence of a code block. */
const TEXT_AND_FENCE = /^([^`]*[^`\s])[ \t]*```[\w+#.-]{0,20}[ \t]*$/;

/** textBeforeFence returns the text before an opening fence at the end of a line. */
const textBeforeFence = (state: StateBlock, line: number): string | undefined => TEXT_AND_FENCE.exec(textOfLine(state, line))?.[1];

/**
 * paragraph parses a paragraph, including its indentation. Unlike markdown-it's rule, it ends the
 * paragraph where the indentation of a list item ends, and before a fence at the end of a line.
 */
function paragraph(state: StateBlock, start: number, end: number): boolean {
  const line = endOfParagraph(state, start, end);
  const content = state.getLines(start, line, state.blkIndent, false);
  const text = line < end ? textBeforeFence(state, line - 1) : undefined;
  if (text === undefined) {
    const next = state.skipEmptyLines(line);
    pushParagraph(state, content, next < state.lineMax ? "\n" + state.getLines(line, next, state.blkIndent, true) : "");
    state.line = line;
    return true;
  }
  const fenceAt = (state.bMarks[line - 1] ?? 0) + (state.tShift[line - 1] ?? 0) + text.length;
  pushParagraph(state, content.slice(0, content.length - ((state.eMarks[line - 1] ?? 0) - fenceAt)), "\n");
  state.bMarks[line - 1] = state.skipSpaces(fenceAt);
  state.tShift[line - 1] = 0;
  return fence(state, line - 1, end, false);
}

/** endOfParagraph returns the line after a paragraph. */
function endOfParagraph(state: StateBlock, start: number, end: number): number {
  const rules = state.md.block.ruler.getRules("paragraph");
  const parent = state.parentType;
  state.parentType = "paragraph";
  let line = start + 1;
  while (
    line < end &&
    !state.isEmpty(line) &&
    (state.sCount[line] ?? 0) >= state.blkIndent &&
    textBeforeFence(state, line - 1) === undefined &&
    !rules.some((rule) => rule(state, line, end, true))
  ) {
    line++;
  }
  state.parentType = parent;
  return line;
}

/**
 * pushParagraph adds the tokens of a paragraph. The inline token's meta contains the white space
 * that follows the text.
 */
function pushParagraph(state: StateBlock, text: string, space: string): void {
  state.push("paragraph_open", "p", 1);
  const token = state.push("inline", "", 0);
  token.content = text;
  token.meta = { space };
  state.push("paragraph_close", "p", -1);
}

// Inline

type InlineRule = (state: StateInline, silent: boolean) => boolean;

inline.ruler.enableOnly(["backticks"]);
const [backticks = (): boolean => false] = inline.ruler.getRules("");
inline.ruler.enableOnly(["text", "backticks", "strikethrough", "emphasis", "link"]);

/** Matches a run of characters at which no formatting mark, link or mention starts. */
const PLAIN = /[^`*_~@[\]hH]+/y;

const plain: InlineRule = (state, silent) => {
  PLAIN.lastIndex = state.pos;
  const run = PLAIN.exec(state.src)?.[0];
  if (run === undefined) {
    return false;
  }
  if (!silent) {
    state.pending += run;
  }
  state.pos += run.length;
  return true;
};
inline.ruler.at("text", plain);

const mentionedIn = (state: StateInline): MentionedNames => (state.env as unknown as { readonly mentioned: MentionedNames }).mentioned;

const piece: InlineRule = (state, silent) => {
  const c = state.src[state.pos] ?? "";
  const found = "@hH".includes(c) ? pieceAt(state.src, state.pos, mentionedIn(state)) : undefined;
  // Links in links are text.
  if (found === undefined || found.end > state.posMax || (state.linkLevel > 0 && found.inline.kind === "link")) {
    return false;
  }
  if (!silent) {
    state.push("piece", "", 0).meta = { node: found.inline };
  }
  state.pos = found.end;
  return true;
};
inline.ruler.after("text", "piece", piece);

/** codeSpan keeps the line breaks of a code span, which markdown-it replaces with spaces. */
const codeSpan: InlineRule = (state, silent) => {
  const from = state.pos;
  const before = state.tokens.length;
  if (!backticks(state, silent)) {
    return false;
  }
  const token = state.tokens.at(-1);
  if (state.tokens.length > before && token?.type === "code_inline") {
    const { length } = token.markup;
    token.content = state.src.slice(from + length, state.pos - length).replace(/^[ \n](?=.*\S)(.*)[ \n]$/s, "$1");
  }
  return true;
};
inline.ruler.at("backticks", codeSpan);

class ChatState extends inline.State {
  override scanDelims(start: number): ReturnType<StateInline["scanDelims"]> {
    const mark = this.src[start] ?? "";
    let end = start;
    while (end < this.posMax && this.src[end] === mark) {
      end++;
    }
    // Two or more underscores are not a formatting mark, because names in code may begin and end
    // with two.
    const { opens, closes } = mark === "_" && end - start > 1 ? { opens: false, closes: false } : roleOf(this.src, start, end);
    return { can_open: opens, can_close: closes, length: end - start };
  }
}
inline.State = ChatState;
