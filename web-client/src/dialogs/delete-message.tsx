/** Asks for confirmation before a message is deleted for everyone. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions } from "../components/form";
import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import { plainText } from "../state/bodies";
import { closeDialog } from "../state/dialog";
import { channelOf } from "../state/react";
import { showError } from "../state/toasts";
import { testids } from "../testids";

export default function DeleteMessage({ message }: { readonly message: LoggedMessage }): JSX.Element {
  const remove = (): void => {
    closeDialog();
    channelOf(message)?.handle.delete(message.id).catch(showError);
  };
  return (
    <Dialog title={t().deleteMessage.title} size="small">
      <blockquote class="preview">{plainText(message.body, 200)}</blockquote>
      <p>{t().deleteMessage.text}</p>
      <Actions>
        <Button onClick={closeDialog}>{t().common.cancel}</Button>
        <button type="button" class="button button-danger" onClick={remove} data-autofocus="" data-testid={testids.confirmDelete}>
          {t().common.delete}
        </button>
      </Actions>
    </Dialog>
  );
}
