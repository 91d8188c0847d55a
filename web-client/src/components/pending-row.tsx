/** A message that is waiting to be sent, or that could not be sent. */

import type { Pending } from "@parley/client";
import type { JSX } from "preact";

import { t } from "../i18n";
import { timeLabel } from "../lib/dates";
import { onlyEmoji } from "../lib/emoji-only";
import type { MentionedNames } from "../lib/markup";
import type { Row } from "../lib/rows";
import { plainText } from "../state/bodies";
import { connection } from "../state/connection";
import { nameOf, person } from "../state/people";
import { myID } from "../state/me";
import { errorText } from "../state/toasts";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { MessageText } from "./message-text";
import { Tick } from "./tick";

/** Mentions are known only once the server has stored the message. */
const NOT_YET_KNOWN: MentionedNames = new Map();

interface PendingRowProps {
  readonly row: Row & { readonly kind: "pending" };
  readonly stop: boolean;
}

export function PendingRow({ row, stop }: PendingRowProps): JSX.Element {
  const { pending, head, ms } = row;
  const failed = pending.status === "failed";
  const waits = pending.status === "pending" && connection.value.name !== "up-to-date";
  const name = nameOf(person(myID()).value);
  return (
    <div
      role="listitem"
      class={`row ${head ? "row-head" : ""} ${failed ? "row-failed" : "row-waiting"}`}
      data-row={row.key}
      data-testid={testids.message}
      data-mine=""
      tabIndex={stop ? 0 : -1}
      aria-label={t().message.label(name, timeLabel(ms), plainText(pending.body, 300))}
    >
      <div class="row-side">{head && <Avatar userID={myID()} />}</div>
      <div class="row-main">
        {head && (
          <div class="row-who">
            <span class="row-name" dir="auto">
              {name}
            </span>
            <time>{timeLabel(ms)}</time>
          </div>
        )}
        <div class={onlyEmoji(pending.body) ? "row-body row-emoji" : "row-body"} data-testid={testids.messageBody}>
          <MessageText body={pending.body} mentioned={NOT_YET_KNOWN} reachable={stop} />
        </div>
        {waits && (
          <div class="row-failure row-held">
            <span>{pending.transmitted ? t().message.unconfirmed : t().message.held}</span>
            {!pending.transmitted && <Discard pending={pending} />}
          </div>
        )}
        {failed && (
          <div class="row-failure" role="alert">
            <span>{t().message.notSent} {pending.error === undefined ? "" : errorText(pending.error)}</span>
            <button type="button" class="link-button" onClick={() => void pending.retry()} data-testid={testids.retrySend}>
              {t().message.retry}
            </button>
            <Discard pending={pending} />
          </div>
        )}
      </div>
      <div class="row-end">
        <Tick status={pending.status} />
      </div>
    </div>
  );
}

function Discard({ pending }: { readonly pending: Pending }): JSX.Element {
  return (
    <button type="button" class="link-button" onClick={() => pending.discard()} data-testid={testids.discardSend}>
      {t().message.discard}
    </button>
  );
}
