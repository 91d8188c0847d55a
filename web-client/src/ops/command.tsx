/** A command line that the operator can copy, with a link to its entry in the manual. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { anchorOf } from "./figures";

export function Command({ line }: { readonly line: string }): JSX.Element {
  const [copied, setCopied] = useState<"no" | "yes" | "failed">("no");
  const copy = (): void => {
    // Without HTTPS, the clipboard is unavailable except on localhost. The user can still select
    // the line.
    Promise.resolve(navigator.clipboard?.writeText(line) ?? Promise.reject(new Error("no clipboard"))).then(
      () => setCopied("yes"),
      () => setCopied("failed"),
    );
  };
  return (
    <li class="ops-command">
      <a href={anchorOf(line)} title="Manual">
        <code>{line}</code>
      </a>
      <button type="button" class="ops-copy" aria-label={`Copy ${line}`} onClick={copy} onBlur={() => setCopied("no")} data-testid="ops-copy">
        {copied === "yes" ? "Copied" : copied === "failed" ? "Select and copy" : "Copy"}
      </button>
    </li>
  );
}
