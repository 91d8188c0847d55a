/** Renders a message body. All of its content is inserted into the document as text. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import { t } from "../i18n";
import { type Inline, type MentionedNames, parseBody } from "../lib/markup";

interface MessageTextProps {
  readonly body: string;
  /** The names that the message mentions. */
  readonly mentioned: MentionedNames;
}

export function MessageText({ body, mentioned }: MessageTextProps): JSX.Element {
  const blocks = useMemo(() => parseBody(body, mentioned), [body, [...mentioned.keys()].join(" ")]);
  return (
    <>
      {blocks.map((block, i) =>
        block.kind === "code" ? (
          // Long lines scroll, so the block must be focusable to be scrolled with the keyboard.
          <pre key={i} class="code-block" tabIndex={0} aria-label={block.language === "" ? t().message.code : t().message.codeIn(block.language)} role="region">
            <code>{block.text}</code>
          </pre>
        ) : (
          <p key={i} dir="auto">
            {block.children.map((node, j) => inline(node, j, mentioned))}
          </p>
        ),
      )}
    </>
  );
}

function inline(node: Inline, key: number, mentioned: MentionedNames): JSX.Element | string {
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
        <span key={key} class={mentioned.get(node.name.toLowerCase()) === true ? "mention mention-me" : "mention"}>
          @{node.name}
        </span>
      );
    case "strong":
      return <strong key={key}>{node.children.map((n, i) => inline(n, i, mentioned))}</strong>;
    case "emphasis":
      return <em key={key}>{node.children.map((n, i) => inline(n, i, mentioned))}</em>;
  }
}
