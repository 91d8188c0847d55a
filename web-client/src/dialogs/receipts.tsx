/** Who has a message, and who has read it. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Dialog } from "../components/dialog";
import { PersonLine } from "../components/user-search";
import type { LoggedMessage } from "../lib/log";
import { sdk } from "../state/client";
import { person, wantProfile } from "../state/people";
import { complain } from "../state/toasts";

type Receipts = Awaited<ReturnType<ReturnType<typeof sdk>["rest"]["listReceipts"]>>;

export default function ReceiptsDialog({ message }: { readonly message: LoggedMessage }): JSX.Element {
  const [receipts, setReceipts] = useState<Receipts | undefined>(undefined);
  useEffect(() => {
    sdk().rest.listReceipts(message.channel_id, message.id, { limit: 200 }).then(setReceipts, complain);
  }, [message.id]);
  return (
    <Dialog title="Who has read this" size="small">
      {receipts === undefined ? (
        <p class="section-empty">Loading…</p>
      ) : (
        <>
          <p>
            Of {receipts.member_count} {receipts.member_count === 1 ? "other member" : "other members"}, {receipts.delivered_count} {receipts.delivered_count === 1 ? "has" : "have"} got it and{" "}
            {receipts.read_count} {receipts.read_count === 1 ? "has" : "have"} read it.
          </p>
          <ul class="results">
            {receipts.items.map((r) => (
              <Reader key={r.user_id} userID={r.user_id} read={r.read} />
            ))}
          </ul>
        </>
      )}
    </Dialog>
  );
}

function Reader({ userID, read }: { readonly userID: string; readonly read: boolean }): JSX.Element {
  useEffect(() => wantProfile(userID), [userID]);
  return (
    <li class="result">
      <PersonLine userID={userID} username={person(userID).value.username} />
      <span class="role">{read ? "has read it" : "has got it"}</span>
    </li>
  );
}
