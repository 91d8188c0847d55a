/** A block of code with its language and a button that copies it. */

import type { JSX } from "preact";

import { t } from "../i18n";
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
  return (
    <div class="code-block">
      <div class="code-head">
        <span class="code-language">{language}</span>
        <IconButton icon="copy" label={t().message.copyCode} size={16} tabIndex={reachable ? 0 : -1} onClick={() => void copyCode(text)} testid={testids.copyCode} />
      </div>
      {/* Long lines scroll, so the block must be focusable to be scrolled with the keyboard. */}
      <pre tabIndex={0} role="region" aria-label={language === "" ? t().message.code : t().message.codeIn(language)}>
        <code dir="ltr">{text}</code>
      </pre>
    </div>
  );
}
