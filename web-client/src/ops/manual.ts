/**
 * The section on the operator's tools from docs/operations.md, as HTML. The build writes it into
 * ops.html (see vite.config.ts), so that it is readable even when the services are down and the
 * page needs no parser.
 */

import MarkdownIt from "markdown-it";

const md = new MarkdownIt();
// Links in the document lead to other documents, which the page does not have. Their text remains.
md.renderer.rules["link_open"] = md.renderer.rules["link_close"] = (): string => "";

/**
 * manualOf returns the section as HTML. The entry of a command has the id that anchorOf returns.
 */
export function manualOf(markdown: string): string {
  const chapter = /\n## The operator's tools\n([\s\S]*?)(?=\n## |$)/.exec(markdown)?.[1] ?? "";
  const tools = [...chapter.matchAll(/^\| (`.+) \| (.+) \|$/gm)].map(
    ([, command = "", does = ""]) =>
      `<div id="tool-${/`([\w-]+)/.exec(command)?.[1] ?? ""}"><dt>${md.renderInline(command)}</dt><dd>${md.renderInline(does)}</dd></div>`,
  );
  // After the table, each part of the section begins with what happened, in bold.
  const advice = /\n(\*\*[\s\S]*)/.exec(chapter)?.[1] ?? "";
  return `<dl>${tools.join("\n")}</dl>\n${md.render(advice)}`;
}
