/**
 * Asks for confirmation before a member is removed from a channel, and asks whether to ban them.
 */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions } from "../components/form";
import { t } from "../i18n";
import { channels, loadMembers } from "../state/channels";
import { sdk } from "../state/client";
import { closeDialog } from "../state/dialog";
import { attempt } from "../state/toasts";
import { testids } from "../testids";

interface Props {
  readonly channelID: string;
  readonly userID: string;
  readonly username: string;
}

export default function RemoveMember({ channelID, userID, username }: Props): JSX.Element {
  const [ban, setBan] = useState(false);
  const remove = async (): Promise<void> => {
    closeDialog();
    await attempt(() => sdk().rest.removeMember(channelID, userID, { ban }));
    const state = channels.peek().get(channelID);
    if (state !== undefined) {
      await attempt(() => loadMembers(state));
    }
  };
  return (
    <Dialog title={t().removeMember.title(username)} size="small">
      <label class="check">
        <input type="checkbox" checked={ban} onChange={(e) => setBan(e.currentTarget.checked)} data-testid={testids.alsoBan} />
        {t().removeMember.ban}
      </label>
      <Actions>
        <Button onClick={closeDialog}>{t().common.cancel}</Button>
        <button type="button" class="button button-danger" onClick={() => void remove()} data-autofocus="" data-testid={testids.confirmRemove}>
          {t().common.remove}
        </button>
      </Actions>
    </Dialog>
  );
}
