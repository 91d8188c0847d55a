/**
 * Asks for confirmation before a member is removed from a channel, and asks whether to ban them.
 */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Confirmation } from "../components/confirmation";
import { t } from "../i18n";
import { channels } from "../state/channels";
import { sdk } from "../state/client";
import { closeDialog } from "../state/dialog";
import { removePerson } from "../state/outsiders";
import { nameOf, person } from "../state/people";
import { testids } from "../testids";

interface Props {
  readonly channelID: string;
  readonly userID: string;
  readonly username: string;
}

export default function RemoveMember({ channelID, userID, username }: Props): JSX.Element {
  const [ban, setBan] = useState(false);
  const state = channels.value.get(channelID);
  const name = nameOf(person(userID).value, username);
  const remove = async (): Promise<void> => {
    if (state === undefined) {
      await sdk().rest.removeMember(channelID, userID, { ban }); // is refused, and the dialog says why
    } else {
      await removePerson(state, userID, name, ban);
    }
  };
  return (
    <Confirmation title={t().removeMember.title(name)} action={t().common.remove} testid={testids.confirmRemove} onClose={closeDialog} work={remove}>
      <p>{t().removeMember.text(username, state?.title.value ?? "")}</p>
      <label class="check">
        <input type="checkbox" checked={ban} onChange={(e) => setBan(e.currentTarget.checked)} data-testid={testids.alsoBan} />
        <span>{t().removeMember.ban}</span>
      </label>
    </Confirmation>
  );
}
