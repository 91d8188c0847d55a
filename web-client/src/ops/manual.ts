/** The chapter on the operator's tools, of docs/operations.md: the page has it with it, so that it is there when all else is down. */

import source from "../../../docs/operations.md?raw";

export interface Tool {
  /** The first word of the command, an anchor on this page. */
  readonly name: string;
  readonly command: string;
  readonly does: string;
}

export interface Manual {
  readonly tools: readonly Tool[];
  /** What one does when something has happened. */
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

/** Lines of a paragraph joined; what is indented is code. */
function unwrapped(part: string): string {
  return part
    .split(/\n\n/)
    .map((block) => (block.startsWith("    ") ? `\`\`\`\n${block.replace(/^ {4}/gm, "")}\n\`\`\`` : block.replace(/\n/g, " ")))
    .join("\n\n");
}

export const manual = readManual(source);

/** The anchor of the tool that a command line calls: "sync-service dead list" is told of at #tool-dead. */
export const anchorOf = (command: string): string => `#tool-${command.split(" ")[1] ?? ""}`;
