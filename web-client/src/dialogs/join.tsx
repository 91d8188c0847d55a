/** Opens a channel by its link or ID. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Field } from "../components/form";
import { t } from "../i18n";
import { channelIn } from "../lib/routes";
import { closeDialog } from "../state/dialog";
import { openChannel } from "../state/route";
import { testids } from "../testids";

export default function Join(): JSX.Element {
  const [input, setInput] = useState("");
  const [wrong, setWrong] = useState(false);
  const go = (event: Event): void => {
    event.preventDefault();
    const channelID = channelIn(input);
    setWrong(channelID === undefined);
    if (channelID !== undefined) {
      closeDialog();
      openChannel(channelID);
    }
  };
  return (
    <Dialog title={t().joinDialog.title} size="small">
      <form class="form" onSubmit={go}>
        <Field
          label={t().joinDialog.field}
          value={input}
          onInput={(value) => {
            setInput(value);
            setWrong(false);
          }}
          error={wrong ? t().joinDialog.wrong : undefined}
          required
          autofocus
          testid={testids.joinField}
        />
        <Actions>
          <Button onClick={closeDialog}>{t().common.cancel}</Button>
          <Button tone="primary" submit testid={testids.submit}>
            {t().joinDialog.continue}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}
