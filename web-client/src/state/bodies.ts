/**
 * Message bodies as trees. The parser for formatting marks is a separate chunk, loaded when the
 * first body with formatting marks is shown. Until then, bodies are shown as typed.
 */

import { signal } from "@preact/signals";

import { type Block, type MentionedNames, mayHaveMarks, oneLine, unmarked } from "../lib/markup";

type Parser = (body: string, mentioned?: MentionedNames) => readonly Block[];

/** The parser for formatting marks, once it is loaded. */
export const parser = signal<Parser | undefined>(undefined);
let requested = false;

/** RETRY_MS is the delay before the chunk is requested again if it could not be loaded. */
const RETRY_MS = 10_000;

function requestParser(): void {
  if (!requested) {
    requested = true;
    import("../lib/markdown").then(
      (module) => {
        parser.value = module.parseBody;
      },
      () => setTimeout(() => {
        requested = false;
        requestParser();
      }, RETRY_MS),
    );
  }
}

/**
 * blocksOf returns the tree of a body. A component that calls it while rendering renders again when
 * the parser is loaded.
 */
export function blocksOf(body: string, mentioned?: MentionedNames): readonly Block[] {
  if (!mayHaveMarks(body)) {
    return unmarked(body, mentioned);
  }
  requestParser();
  return (parser.value ?? unmarked)(body, mentioned);
}

/** PREVIEWED is the maximum number of UTF-16 code units of a body that are parsed for a preview. */
const PREVIEWED = 2000;

/**
 * plainText returns a body as one line without formatting marks, for previews and notifications.
 */
export const plainText = (body: string, length: number): string => oneLine(blocksOf(body.slice(0, PREVIEWED)), length);
