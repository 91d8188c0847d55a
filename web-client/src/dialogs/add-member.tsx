/** Adds people to a channel. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { UserSearch } from "../components/user-search";
import { t } from "../i18n";
import { channels, loadMembers } from "../state/channels";
import { sdk } from "../state/client";
import { attempt } from "../state/toasts";

export default function AddMember({ channelID }: { readonly channelID: string }): JSX.Element {
  const state = channels.value.get(channelID);
  const [invited, setInvited] = useState<ReadonlySet<string>>(new Set());
  const [added, setAdded] = useState<ReadonlySet<string>>(new Set(state?.members.peek()?.map((m) => m.user_id)));
  const add = async (userID: string): Promise<void> => {
    const answer = await attempt(() => sdk().rest.addMember(channelID, { user_id: userID }));
    if (answer !== undefined && "invited_by" in answer) {
      setInvited(new Set(invited).add(userID));
    } else if (answer !== undefined) {
      setAdded(new Set(added).add(userID));
      if (state !== undefined) {
        await attempt(() => loadMembers(state));
      }
    }
  };
  return (
    <Dialog title={t().addMember.title(state?.title.value ?? "")} size="small">
      <UserSearch label={t().addMember.search}>
        {(user) =>
          added.has(user.id) ? (
            <span class="role">{t().common.alreadyAdded}</span>
          ) : invited.has(user.id) ? (
            <span class="role">{t().addMember.invited}</span>
          ) : (
            <Button onClick={() => void add(user.id)} label={t().common.addPerson(user.username)}>
              {t().common.add}
            </Button>
          )
        }
      </UserSearch>
    </Dialog>
  );
}
