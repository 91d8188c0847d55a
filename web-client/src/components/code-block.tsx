/** A block of code with its language, its colors, and a button that copies it. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { t } from "../i18n";
import type { Span } from "../lib/syntax";
import { copyCode } from "../state/share";
import { testids } from "../testids";
import { IconButton } from "./button";

interface CodeBlockProps {
  readonly language: string;
  readonly text: string;
  /** Whether Tab reaches the button. */
  readonly reachable: boolean;
}

export function CodeBlock({ language, text, reachable }: CodeBlockProps): JSX.Element {
  const spans = useSpans(language, text);
  return (
    <div class="code-block">
      <div class="code-head">
        <span class="code-language">{language}</span>
        <IconButton icon="copy" label={t().message.copyCode} size={16} tabIndex={reachable ? 0 : -1} onClick={() => void copyCode(text)} testid={testids.copyCode} />
      </div>
      {/* Long lines scroll, so the block must be focusable to be scrolled with the keyboard. */}
      <pre tabIndex={0} role="region" aria-label={language === "" ? t().message.code : t().message.codeIn(language)}>
        <code dir="ltr">{spans === undefined ? text : spans.map(({ kind, text: part }, i) => (kind === "" ? part : <span key={i} class={`code-${kind}`}>{part}</span>))}</code>
      </pre>
    </div>
  );
}

/**
 * useSpans returns the syntax-colored spans of the code, or undefined until they are available.
 * Until then, the code has a single color.
 */
function useSpans(language: string, text: string): readonly Span[] | undefined {
  const [colored, setColored] = useState<{ readonly text: string; readonly spans: readonly Span[] | undefined }>();
  useEffect(() => {
    if (language === "") {
      return undefined;
    }
    let current = true;
    import("../lib/syntax")
      .then(({ spansOf }) => spansOf(language, text))
      .then(
        (spans) => {
          if (current) {
            setColored({ text, spans });
          }
        },
        () => undefined, // a chunk could not be loaded
      );
    return () => {
      current = false;
    };
  }, [language, text]);
  return colored?.text === text ? colored.spans : undefined;
}
