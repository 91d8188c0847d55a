/**
 * The section of docs/operations.md on the operator's tools, as HTML. The build writes it into
 * ops.html (see vite.config.ts). The page therefore needs no parser, and the section is readable
 * even when the services are down.
 */

import MarkdownIt from "markdown-it";

const md = new MarkdownIt();
// Replaces links to other documents with their text, because the page does not contain those
// documents.
md.renderer.rules["link_open"] = md.renderer.rules["link_close"] = (): string => "";

/**
 * manualOf returns the section as HTML. Each command's entry has the id that anchorOf returns for
 * the command.
 */
export function manualOf(markdown: string): string {
  const chapter = /\n## The operator's tools\n([\s\S]*?)(?=\n## |$)/.exec(markdown)?.[1] ?? "";
  const tools = [...chapter.matchAll(/^\| (`.+) \| (.+) \|$/gm)].map(
    ([, command = "", does = ""]) =>
      `<div id="tool-${/`([\w-]+)/.exec(command)?.[1] ?? ""}"><dt>${md.renderInline(command)}</dt><dd>${md.renderInline(does)}</dd></div>`,
  );
  // After the table, each part of the section begins with a description of the problem, in bold.
  const advice = /\n(\*\*[\s\S]*)/.exec(chapter)?.[1] ?? "";
  return `<dl>${tools.join("\n")}</dl>\n${md.render(advice)}`;
}
