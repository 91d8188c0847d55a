/** Asks for confirmation before a message is deleted for everyone. */

import type { JSX } from "preact";

import { Confirmation } from "../components/confirmation";
import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import { plainText } from "../state/bodies";
import { closeDialog } from "../state/dialog";
import { channelOf } from "../state/react";
import { showError } from "../state/toasts";
import { testids } from "../testids";

export default function DeleteMessage({ message }: { readonly message: LoggedMessage }): JSX.Element {
  // The deletion is queued while the connection is lost, so the dialog does not wait for it.
  const remove = async (): Promise<void> => {
    channelOf(message)?.handle.delete(message.id).catch(showError);
  };
  return (
    <Confirmation title={t().deleteMessage.title} action={t().common.delete} testid={testids.confirmDelete} onClose={closeDialog} work={remove}>
      <blockquote class="preview" dir="auto">{plainText(message.body, 200)}</blockquote>
      <p>{t().deleteMessage.text}</p>
    </Confirmation>
  );
}
