/**
 * Asks for confirmation of a destructive action: the text says what will happen and to whom. The
 * focus is initially on a control where pressing Enter does no harm. The dialog stays open until
 * the action has succeeded. If the action fails, the dialog shows the error.
 */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { t } from "../i18n";
import { testids } from "../testids";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { Actions, Field, FormError, useSubmission } from "./form";

interface ConfirmationProps {
  readonly title: string;
  readonly children: ComponentChildren;
  /** The label of the button that performs the action. */
  readonly action: string;
  readonly testid: string;
  /** A name that the user must type to confirm the action. */
  readonly typed?: string | undefined;
  readonly alternative?: JSX.Element | undefined;
  readonly onClose: () => void;
  readonly work: () => Promise<unknown>;
}

export function Confirmation({ title, children, action, testid, typed, alternative, onClose, work }: ConfirmationProps): JSX.Element {
  const [name, setName] = useState("");
  const ready = typed === undefined || name.trim() === typed.trim();
  const form = useSubmission(async () => {
    if (ready) {
      await work();
      onClose();
    }
  });
  return (
    <Dialog title={title} size="small" onClose={onClose}>
      <form class="form" onSubmit={form.submit}>
        {children}
        {typed !== undefined && <Field label={t().question.type(typed)} value={name} onInput={setName} autofocus testid={testids.confirmName} />}
        <FormError message={form.message} />
        <Actions>
          <Button onClick={onClose} autofocus={typed === undefined}>
            {t().common.cancel}
          </Button>
          {alternative}
          <Button tone="danger" submit disabled={!ready || form.busy} testid={testid}>
            {action}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}
