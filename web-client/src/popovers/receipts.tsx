/** The members who have received and read a message. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { DialogPopover } from "../components/popover";
import { PersonLine } from "../components/user-search";
import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import { sdk } from "../state/client";
import { person, requestProfile } from "../state/people";
import type { OpenPopover } from "../state/popover";
import { showError } from "../state/toasts";

type Receipts = Awaited<ReturnType<ReturnType<typeof sdk>["rest"]["listReceipts"]>>;

export default function ReceiptsPopover({ open, message }: { readonly open: OpenPopover; readonly message: LoggedMessage }): JSX.Element {
  const [receipts, setReceipts] = useState<Receipts | undefined>(undefined);
  useEffect(() => {
    sdk().rest.listReceipts(message.channel_id, message.id, { limit: 200 }).then(setReceipts, showError);
  }, [message.id]);
  return (
    <DialogPopover open={open} title={t().receipts.title}>
      {receipts === undefined ? (
        <p class="section-empty">{t().common.loading}</p>
      ) : (
        <>
          <p>{t().receipts.summary(receipts.delivered_count, receipts.read_count, receipts.member_count)}</p>
          <ul class="results">
            {receipts.items.map((r) => (
              <Reader key={r.user_id} userID={r.user_id} read={r.read} />
            ))}
          </ul>
        </>
      )}
    </DialogPopover>
  );
}

function Reader({ userID, read }: { readonly userID: string; readonly read: boolean }): JSX.Element {
  useEffect(() => requestProfile(userID), [userID]);
  return (
    <li class="result">
      <PersonLine userID={userID} username={person(userID).value.username} />
      <span class="role">{read ? t().receipts.read : t().receipts.delivered}</span>
    </li>
  );
}
