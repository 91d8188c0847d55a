import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { parseSync } from "vite";
import { describe, expect, it } from "vitest";

/** A node of a syntax tree in the ESTree format. TypeScript 7 has no stable API for its own trees. */
interface Node {
  readonly type: string;
  readonly [property: string]: unknown;
}

/** The attributes and properties whose values are shown or read out. */
const VISIBLE = new Set(["alt", "aria-description", "aria-label", "aria-roledescription", "aria-valuetext", "about", "does", "empty", "hint", "label", "legend", "placeholder", "text", "title"]);
/** The functions whose first argument is shown or read out. */
const SHOWING = new Set(["addAnnouncement", "leave", "setProblem", "toast"]);
const LETTER = /\p{L}/u;
/**
 * A string of at least two words that begins like a sentence. It counts as visible text wherever it
 * occurs.
 */
const SENTENCE = /^\p{Lu}[\p{L}'’]* \p{L}/u;

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && typeof (value as Node).type === "string";
const children = (node: Node): readonly Node[] => Object.values(node).flat().filter(isNode);
const nameOf = (node: unknown): string => (isNode(node) ? String(node["name"] ?? node["value"] ?? "") : "");

/** wordsOf returns the strings that the value of an expression may contain. */
function wordsOf(node: unknown): readonly string[] {
  if (!isNode(node)) {
    return [];
  }
  switch (node.type) {
    case "Literal":
      return typeof node["value"] === "string" ? [node["value"]] : [];
    case "TemplateElement":
      return [(node["value"] as { readonly raw: string }).raw];
    case "ConditionalExpression":
      return [...wordsOf(node["consequent"]), ...wordsOf(node["alternate"])];
    case "LogicalExpression": // the left side of && is only a condition
      return [...(node["operator"] === "&&" ? [] : wordsOf(node["left"])), ...wordsOf(node["right"])];
    case "BinaryExpression":
      return node["operator"] === "+" ? children(node).flatMap(wordsOf) : [];
    case "TemplateLiteral":
    case "ArrayExpression":
    case "ParenthesizedExpression":
    case "JSXExpressionContainer":
      return children(node).flatMap(wordsOf);
    default:
      return [];
  }
}

/** visibleIn returns the strings in a source file that users may see or hear. */
function visibleIn(file: string, source: string): readonly string[] {
  const { program, errors } = parseSync(file, source, { lang: file.endsWith(".tsx") ? "tsx" : "ts" });
  expect(errors, file).toEqual([]);
  const found = new Set<string>();
  const add = (strings: readonly string[], pattern = LETTER): void => strings.filter((s) => pattern.test(s)).forEach((s) => found.add(s.trim()));
  const visit = (node: Node): void => {
    switch (node.type) {
      case "JSXText":
        add([String(node["value"])]);
        break;
      case "JSXElement":
      case "JSXFragment":
        children(node).filter((child) => child.type === "JSXExpressionContainer").forEach((child) => add(wordsOf(child)));
        break;
      case "JSXAttribute":
        if (nameOf(node["name"]) === "class") {
          return;
        }
        if (VISIBLE.has(nameOf(node["name"]))) {
          add(wordsOf(node["value"]));
        }
        break;
      case "Property":
        if (VISIBLE.has(nameOf(node["key"]))) {
          add(wordsOf(node["value"]));
        }
        break;
      case "CallExpression":
        if (SHOWING.has(nameOf(node["callee"]))) {
          add(wordsOf((node["arguments"] as readonly unknown[])[0]));
        }
        break;
      case "ImportDeclaration":
        return;
    }
    add(node.type === "Literal" || node.type === "TemplateElement" ? wordsOf(node) : [], SENTENCE);
    children(node).forEach(visit);
  };
  visit(program as unknown as Node);
  return [...found];
}

/** Names and symbols that are the same in every language. */
const SAME_EVERYWHERE = new Set(["Parley", "K"]);
/** The operator's page is in English only, like the services' logs and manuals. */
const EXCEPT = /(^|\/)(ops|i18n)\/|\.test\.tsx?$/;

describe("visible strings", () => {
  it("are all in the catalogue", () => {
    const root = fileURLToPath(new URL("../", import.meta.url));
    const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((f) => /\.tsx?$/.test(f) && !EXCEPT.test(f));
    expect(files.length).toBeGreaterThan(50);
    const outside = files.flatMap((file) =>
      visibleIn(file, readFileSync(join(root, file), "utf8"))
        .filter((s) => !SAME_EVERYWHERE.has(s))
        .map((s) => `${file}: ${s}`),
    );
    expect(outside).toEqual([]);
  });

  it.each([
    [`<p>Hello {name}</p>`, "Hello"],
    [`<p>{busy ? "Saving…" : t().save}</p>`, "Saving…"],
    [`<p>{count} {count === 1 ? t().one : "many"}</p>`, "many"],
    [`<img alt="A cat" />`, "A cat"],
    ["<b aria-label={`Remove ${name}`} />", "Remove"],
    [`<p>{name ?? "nobody"}</p>`, "nobody"],
    [`<p>{"to " + name}</p>`, "to"],
    [`<Field label="Name" />`, "Name"],
    [`toast("Saved")`, "Saved"],
    [`const tone = { text: "Offline" }`, "Offline"],
    [`function f() { return "Something went wrong." }`, "Something went wrong."],
  ])("are found in %s", (source, word) => {
    expect(visibleIn("sample.tsx", source)).toEqual([word]);
  });

  it.each([`<p class="row Row text">{t().save}</p>`, `<i>{"·"} @{name}</i>`, `<i>{role === "owner" && <b />}</i>`, `open({ name: "settings" })`, `import { x } from "./Some thing"`])("are not found in %s", (source) => {
    expect(visibleIn("sample.tsx", source)).toEqual([]);
  });
});
