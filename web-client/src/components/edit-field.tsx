/** Edits a message in place. */

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { t } from "../i18n";
import { composing } from "../lib/composing";
import type { LoggedMessage } from "../lib/log";
import type { ChannelState } from "../state/channel-state";
import { editing, focusComposer, revealRow } from "../state/compose";
import { attempt } from "../state/toasts";
import { testids } from "../testids";
import { fitHeight } from "./fit-height";
import { Button } from "./button";
import { submits } from "./submit-key";

interface EditFieldProps {
  readonly state: ChannelState;
  readonly message: LoggedMessage;
}

/**
 * revealAfterLayout scrolls the whole row into view, with the buttons below the field, once the
 * list has measured the row's new height. It returns a function that cancels the scrolling.
 */
function revealAfterLayout(message: LoggedMessage): () => void {
  let frame = requestAnimationFrame(() => {
    frame = requestAnimationFrame(() => revealRow(message));
  });
  return () => cancelAnimationFrame(frame);
}

export function EditField({ state, message }: EditFieldProps): JSX.Element {
  const [body, setBody] = useState(message.body);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const element = field.current;
    element?.focus();
    element?.setSelectionRange(element.value.length, element.value.length);
  }, []);
  useLayoutEffect(() => fitHeight(field.current), [body]);
  useEffect(() => revealAfterLayout(message), [body]);
  const close = (): void => {
    editing.value = undefined;
    focusComposer();
  };
  const save = async (): Promise<void> => {
    const text = body.trim();
    if (text === "" || text === message.body) {
      close();
      return;
    }
    setBusy(true);
    // Keep the field open until the server responds. If the edit fails, the user does not have to
    // type the text again.
    if ((await attempt(() => state.handle.edit(message.id, text))) !== undefined) {
      close();
    }
    setBusy(false);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    event.stopPropagation();
    if (composing(event)) {
      return;
    }
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (submits(event)) {
      event.preventDefault();
      void save();
    }
  };
  return (
    <div class="edit">
      <textarea
        ref={field}
        class="edit-field"
        rows={1}
        dir="auto"
        value={body}
        aria-label={t().message.editField}
        onInput={(e) => setBody(e.currentTarget.value)}
        onKeyDown={onKeyDown}
        data-testid={testids.editField}
      />
      <div class="edit-actions">
        <Button tone="primary" onClick={() => void save()} disabled={busy} testid={testids.editSave}>
          {busy ? t().common.saving : t().common.save}
        </Button>
        <Button onClick={close}>{t().common.cancel}</Button>
      </div>
    </div>
  );
}
