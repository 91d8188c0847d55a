/** A command line to copy, with a link to what the manual says of it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { anchorOf } from "./manual";

export function Command({ line }: { readonly line: string }): JSX.Element {
  const [copied, setCopied] = useState<"no" | "yes" | "failed">("no");
  const copy = (): void => {
    // Without https there is no clipboard but on this machine: then the line can still be selected.
    Promise.resolve(navigator.clipboard?.writeText(line) ?? Promise.reject(new Error("no clipboard"))).then(
      () => setCopied("yes"),
      () => setCopied("failed"),
    );
  };
  return (
    <li class="ops-command">
      <code>{line}</code>
      <button type="button" class="ops-copy" aria-label={`Copy ${line}`} onClick={copy} onBlur={() => setCopied("no")} data-testid="ops-copy">
        {copied === "yes" ? "Copied" : copied === "failed" ? "Select it" : "Copy"}
      </button>
      <a href={anchorOf(line)} aria-label={`Manual: ${line}`}>
        Manual
      </a>
    </li>
  );
}
