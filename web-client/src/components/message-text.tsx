/** A body as elements. Whatever it holds, it reaches the document as text. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import { type Calls, type Inline, parseBody } from "../lib/markup";

interface MessageTextProps {
  readonly body: string;
  /** Whom the message mentions. */
  readonly calls: Calls;
}

export function MessageText({ body, calls }: MessageTextProps): JSX.Element {
  const blocks = useMemo(() => parseBody(body, calls), [body, [...calls.keys()].join(" ")]);
  return (
    <>
      {blocks.map((block, i) =>
        block.kind === "code" ? (
          // A long line scrolls: whoever has no mouse needs to get there too.
          <pre key={i} class="code-block" tabIndex={0} aria-label={block.language === "" ? "code" : `${block.language} code`} role="region">
            <code>{block.text}</code>
          </pre>
        ) : (
          <p key={i} dir="auto">
            {block.children.map((node, j) => inline(node, j, calls))}
          </p>
        ),
      )}
    </>
  );
}

function inline(node: Inline, key: number, calls: Calls): JSX.Element | string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "code":
      return <code key={key}>{node.text}</code>;
    case "link":
      return (
        <a key={key} href={node.href} target="_blank" rel="noopener noreferrer nofollow">
          {node.text}
        </a>
      );
    case "mention":
      return (
        <span key={key} class={calls.get(node.name.toLowerCase()) === true ? "mention mention-me" : "mention"}>
          @{node.name}
        </span>
      );
    case "strong":
      return <strong key={key}>{node.children.map((n, i) => inline(n, i, calls))}</strong>;
    case "emphasis":
      return <em key={key}>{node.children.map((n, i) => inline(n, i, calls))}</em>;
  }
}
