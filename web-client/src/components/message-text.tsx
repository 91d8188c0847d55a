/** Renders a message body. All of its content is inserted into the document as text. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { signal } from "@preact/signals";

import { t } from "../i18n";
import { folded, MAX_LINES } from "../lib/fold";
import { type Block, hiddenHost, type Inline, type List, type MentionedNames, type Table, textOf } from "../lib/markup";
import { blocksOf, parser } from "../state/bodies";
import { testids } from "../testids";
import { CodeBlock } from "./code-block";
import { TextButton } from "./text-button";

interface MessageTextProps {
  readonly body: string;
  /** The names that the message mentions. */
  readonly mentioned: MentionedNames;
  /** Whether Tab reaches the controls in the text. */
  readonly reachable?: boolean;
  /**
   * Called with the id of the user whose mention was clicked. If absent, mentions are not
   * clickable.
   */
  readonly onMention?: (event: Event, userID: string) => void;
}

export function MessageText({ body, mentioned, reachable = false, onMention }: MessageTextProps): JSX.Element {
  const { body: beginning, lines } = useMemo(() => folded(body), [body]);
  const open = unfolded.value.has(body);
  const shown = open ? body : beginning;
  const blocks = useMemo(() => blocksOf(shown, mentioned), [shown, [...mentioned.keys()].join(" "), parser.value]);
  return (
    <>
      {blocks.map((b, i) => block(b, i, { mentioned, reachable, onMention }))}
      {lines > MAX_LINES && (
        <button type="button" class="link-button" tabIndex={reachable ? 0 : -1} aria-expanded={open} onClick={() => toggle(body)} data-testid={testids.showAllLines}>
          {open ? t().message.showLess : t().message.showAllLines(lines)}
        </button>
      )}
    </>
  );
}

/**
 * The bodies of long messages that the user has chosen to show in full. They are still shown in
 * full after their rows have been removed from the document and added again.
 */
const unfolded = signal<ReadonlySet<string>>(new Set());

function toggle(body: string): void {
  const next = new Set(unfolded.value);
  if (!next.delete(body)) {
    next.add(body);
  }
  unfolded.value = next;
}

interface Context {
  readonly mentioned: MentionedNames;
  readonly reachable: boolean;
  readonly onMention: MessageTextProps["onMention"];
  /**
   * Whether the block is in a list or quote. When the browser determines the direction of an
   * element, it ignores descendants with their own `dir`. So a nested block has no `dir`; the style
   * sheet sets its direction.
   */
  readonly nested?: boolean;
}

function block(node: Block, key: number, context: Context): JSX.Element {
  switch (node.kind) {
    case "paragraph":
      return (
        <p key={key} dir={context.nested === true ? undefined : "auto"}>
          {inlines(node.children, context)}
        </p>
      );
    case "code":
      return <CodeBlock key={key} language={node.language} text={node.text} reachable={context.reachable} />;
    case "quote":
      return (
        <blockquote key={key} dir="auto">
          {node.children.map((b, i) => block(b, i, { ...context, nested: true }))}
        </blockquote>
      );
    case "list":
      return list(node, key, context);
    case "table":
      return table(node, key, context);
  }
}

function list({ marker, items }: List, key: number, context: Context): JSX.Element {
  const children = items.map(({ number, children: blocks }, i) => (
    <li key={i} value={number}>
      {blocks.map((b, j) => block(b, j, { ...context, nested: true }))}
    </li>
  ));
  const numbered = items[0]?.number !== undefined;
  return numbered ? (
    <ol key={key} class={marker === ")" ? "list-parenthesis" : ""} dir="auto">
      {children}
    </ol>
  ) : (
    <ul key={key} dir="auto">
      {children}
    </ul>
  );
}

function table({ aligns, rows }: Table, key: number, context: Context): JSX.Element {
  const [head = [], ...body] = rows;
  const classOf = (column: number): string => (aligns[column] ?? "") && `align-${aligns[column]}`;
  return (
    // A wide table scrolls, so it must be focusable to be scrolled with the keyboard.
    <div key={key} class="table-scroller" tabIndex={0} role="region" aria-label={t().message.table}>
      <table>
        <thead>
          <tr>
            {head.map((cell, i) => (
              <th key={i} class={classOf(i)} dir="auto">
                {inlines(cell, context)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {body.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j} class={classOf(j)} dir="auto">
                  {inlines(cell, context)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const inlines = (nodes: readonly Inline[], context: Context): readonly (JSX.Element | string)[] => nodes.map((n, i) => inline(n, i, context));

function inline(node: Inline, key: number, context: Context): JSX.Element | string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "code":
      return (
        <code key={key} class={node.text.includes("\n") ? "code-lines" : ""} dir="ltr">
          {node.text}
        </code>
      );
    case "link":
      return (
        <a key={key} href={node.href} title={node.title} target="_blank" rel="noopener noreferrer nofollow" data-host={hiddenHost(node.href, textOf(node.children))}>
          {inlines(node.children, context)}
        </a>
      );
    case "mention":
      return mention(node.name, key, context);
    case "strong":
      return <strong key={key}>{inlines(node.children, context)}</strong>;
    case "emphasis":
      return <em key={key}>{inlines(node.children, context)}</em>;
    case "struck":
      return <s key={key}>{inlines(node.children, context)}</s>;
  }
}

function mention(name: string, key: number, { mentioned, reachable, onMention }: Context): JSX.Element {
  const { userID, me = false } = mentioned.get(name.toLowerCase()) ?? {};
  const classes = me ? "mention mention-me" : "mention";
  return userID === undefined || onMention === undefined ? (
    <span key={key} class={classes} dir="ltr">
      @{name}
    </span>
  ) : (
    <TextButton key={key} class={classes} dir="ltr" reachable={reachable} onPress={(event) => onMention(event, userID)} testid={testids.mention}>
      @{name}
    </TextButton>
  );
}
