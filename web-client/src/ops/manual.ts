/**
 * The section on the operator's tools from docs/operations.md. It is built into the page, so that
 * it is available even when the services are down.
 */

import source from "../../../docs/operations.md?raw";

export interface Tool {
  /** The subcommand, which is also the anchor on this page. */
  readonly name: string;
  readonly command: string;
  readonly does: string;
}

export interface Manual {
  readonly tools: readonly Tool[];
  /** Paragraphs on what to do after an incident. */
  readonly advice: readonly string[];
}

export function readManual(markdown: string): Manual {
  const chapter = /\n## The operator's tools\n([\s\S]*?)(?=\n## |$)/.exec(markdown)?.[1] ?? "";
  const tools: Tool[] = [];
  for (const [, command = "", does = ""] of chapter.matchAll(/^\| (`.+) \| (.+) \|$/gm)) {
    tools.push({ name: /`([\w-]+)/.exec(command)?.[1] ?? "", command, does });
  }
  const advice = chapter
    .split(/\n(?=\*\*)/)
    .slice(1)
    .map((part) => unwrapped(part.trim()));
  return { tools, advice };
}

/** unwrapped joins the lines of each paragraph and turns indented blocks into code. */
function unwrapped(part: string): string {
  return part
    .split(/\n\n/)
    .map((block) => (block.startsWith("    ") ? `\`\`\`\n${block.replace(/^ {4}/gm, "")}\n\`\`\`` : block.replace(/\n/g, " ")))
    .join("\n\n");
}

export const manual = readManual(source);

/**
 * anchorOf returns the anchor of the manual entry for a command: "sync-service dead list" is at
 * #tool-dead.
 */
export const anchorOf = (command: string): string => `#tool-${command.split(" ")[1] ?? ""}`;
