/**
 * Highlights code: splits it into spans with highlight.js's grammars. The spans are text, not HTML.
 * Each grammar is a separate chunk, which is loaded with the first code block in its language.
 */

import type { Emitter, LanguageFn } from "highlight.js";
import hljs from "highlight.js/lib/core";

/** The highlight.js scopes for each kind of span. The style sheet has a color for each kind. */
const kinds = {
  comment: ["comment", "quote", "meta", "doctag"],
  keyword: ["keyword", "built_in", "literal", "selector-tag", "name", "section", "tag"],
  string: ["string", "regexp", "char", "link", "symbol", "bullet", "code"],
  number: ["number", "variable", "template-variable", "property", "attr", "attribute", "selector-attr", "selector-class", "selector-id", "selector-pseudo"],
  definition: ["title", "type", "class", "function", "params"],
  addition: ["addition"],
  deletion: ["deletion"],
} as const;

export type SpanKind = keyof typeof kinds | "";

export interface Span {
  readonly kind: SpanKind;
  readonly text: string;
}

const kindOf: ReadonlyMap<string, SpanKind> = new Map(Object.entries(kinds).flatMap(([kind, scopes]) => scopes.map((scope) => [scope, kind as SpanKind])));

/**
 * SpanEmitter collects the spans that highlight.js finds. highlight.js's default emitter writes
 * HTML.
 */
class SpanEmitter implements Emitter {
  readonly spans: Span[] = [];
  private readonly open: SpanKind[] = [];

  addText(text: string): void {
    const kind = this.open.at(-1) ?? "";
    const last = this.spans.at(-1);
    if (last?.kind === kind) {
      this.spans[this.spans.length - 1] = { kind, text: last.text + text };
    } else {
      this.spans.push({ kind, text });
    }
  }

  startScope(name: string): void {
    this.open.push(kindOf.get(name.split(".")[0] ?? "") ?? this.open.at(-1) ?? "");
  }

  endScope(): void {
    this.open.pop();
  }

  // highlight.js also calls startScope and endScope by their old names, openNode and closeNode.
  openNode(name: string): void {
    this.startScope(name);
  }

  closeNode(): void {
    this.endScope();
  }

  __addSublanguage(emitter: Emitter): void {
    this.spans.push(...(emitter as SpanEmitter).spans);
  }

  finalize(): void {}

  toHTML(): string {
    return "";
  }
}

hljs.configure({ __emitter: SpanEmitter });

/** The names that identify each language in a code fence. */
const grammars: readonly (readonly [names: string, load: () => Promise<{ readonly default: LanguageFn }>])[] = [
  ["bash sh shell zsh", () => import("highlight.js/lib/languages/bash")],
  ["c h", () => import("highlight.js/lib/languages/c")],
  ["cpp c++ cc hpp", () => import("highlight.js/lib/languages/cpp")],
  ["csharp cs c#", () => import("highlight.js/lib/languages/csharp")],
  ["css", () => import("highlight.js/lib/languages/css")],
  ["diff patch", () => import("highlight.js/lib/languages/diff")],
  ["dockerfile docker", () => import("highlight.js/lib/languages/dockerfile")],
  ["go golang", () => import("highlight.js/lib/languages/go")],
  ["ini toml", () => import("highlight.js/lib/languages/ini")],
  ["java", () => import("highlight.js/lib/languages/java")],
  ["javascript js jsx mjs", () => import("highlight.js/lib/languages/javascript")],
  ["json", () => import("highlight.js/lib/languages/json")],
  ["kotlin kt", () => import("highlight.js/lib/languages/kotlin")],
  ["lua", () => import("highlight.js/lib/languages/lua")],
  ["makefile make", () => import("highlight.js/lib/languages/makefile")],
  ["php", () => import("highlight.js/lib/languages/php")],
  ["python py", () => import("highlight.js/lib/languages/python")],
  ["ruby rb", () => import("highlight.js/lib/languages/ruby")],
  ["rust rs", () => import("highlight.js/lib/languages/rust")],
  ["sql", () => import("highlight.js/lib/languages/sql")],
  ["swift", () => import("highlight.js/lib/languages/swift")],
  ["typescript ts tsx", () => import("highlight.js/lib/languages/typescript")],
  ["xml html svg", () => import("highlight.js/lib/languages/xml")],
  ["yaml yml", () => import("highlight.js/lib/languages/yaml")],
];

/** The languages, each by its first name. */
export const languages: readonly string[] = grammars.map(([names]) => names.split(" ")[0] ?? "");

/** MAX_COLORED is the maximum length of code that is colored, in UTF-16 code units. */
const MAX_COLORED = 8_000;

type Colorizer = (code: string) => readonly Span[];

/** colorizer loads the grammar of a language. It returns undefined if the language is unknown. */
export async function colorizer(language: string): Promise<Colorizer | undefined> {
  const wanted = language.toLowerCase();
  const grammar = grammars.find(([names]) => names.split(" ").includes(wanted));
  if (grammar === undefined) {
    return undefined;
  }
  const [names, load] = grammar;
  const [name = ""] = names.split(" ");
  if (hljs.getLanguage(name) === undefined) {
    hljs.registerLanguage(name, (await load()).default);
  }
  return (code) => (hljs.highlight(code, { language: name, ignoreIllegals: true })._emitter as SpanEmitter).spans;
}

/**
 * spansOf splits code into spans. It returns undefined if the language is unknown or the code is
 * too long.
 */
export async function spansOf(language: string, code: string): Promise<readonly Span[] | undefined> {
  const spans = code.length > MAX_COLORED ? undefined : (await colorizer(language))?.(code);
  // If a grammar fails, the spans do not contain all of the code. Do not use them.
  return spans?.map(({ text }) => text).join("") === code ? spans : undefined;
}
