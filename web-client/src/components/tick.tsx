/** The status of the user's own message. */

import type { SendStatus } from "@parley/client";
import type { JSX } from "preact";

import { t } from "../i18n";
import { testids } from "../testids";

/**
 * One path per status: a clock, one check mark, two check marks, two check marks on a filled
 * background, and an exclamation mark.
 */
const paths: Record<SendStatus, string> = {
  pending: "M10 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM10 5v3l2 1.500",
  sent: "M5 8.500l3.500 3.500L15 5",
  delivered: "M3 8.500L6 11.500 12 5M9 11.300l.400.300L16 5",
  read: "M3 8.500L6 11.500 12 5M9 11.300l.400.300L16 5",
  failed: "M10 3v6.500M10 12.500v.5",
};

interface TickProps {
  readonly status: SendStatus;
  /** Says more than the status alone. */
  readonly label?: string;
}

export function Tick({ status, label = t().message.status[status] }: TickProps): JSX.Element {
  return (
    <span class={`tick tick-${status}`} role="img" aria-label={label} title={label} data-testid={testids.tick} data-status={status}>
      <svg viewBox="0 0 20 16" width="19" height="15" aria-hidden="true" focusable="false">
        {status === "read" && <rect x="0" y="1" width="19" height="14.500" rx="7" class="tick-fill" />}
        <path d={paths[status]} />
      </svg>
    </span>
  );
}
