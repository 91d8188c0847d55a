/** Changing the password and deleting the account. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Actions, Field, FormError, type ProblemTexts, useSubmission } from "../components/form";
import { t } from "../i18n";
import { sdk } from "../state/client";
import { me } from "../state/me";
import { deleteAccount } from "../state/session";
import { toast } from "../state/toasts";

const wrongPassword = (): ProblemTexts => ({ invalid_credentials: t().account.wrongPassword });

export function AccountSettings(): JSX.Element {
  return (
    <>
      {me()?.operator === true && (
        <p>
          {t().account.operator((words) => (
            <a href="/ops">{words}</a>
          ))}
        </p>
      )}
      <PasswordForm />
      <DeleteForm />
    </>
  );
}

function PasswordForm(): JSX.Element {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const form = useSubmission(async () => {
    await sdk().rest.changePassword({ password: old, new_password: next });
    setOld("");
    setNext("");
    toast(t().account.changed);
  }, wrongPassword());
  return (
    <form class="form" onSubmit={form.submit}>
      <h3>{t().account.changePassword}</h3>
      <Field label={t().account.current} type="password" value={old} onInput={setOld} autocomplete="current-password" error={form.fields.get("password")} required />
      <Field
        label={t().account.new}
        type="password"
        value={next}
        onInput={setNext}
        autocomplete="new-password"
        hint={t().account.newHint}
        error={form.fields.get("new_password")}
        minLength={8}
        required
      />
      <FormError message={form.fields.size > 0 ? "" : form.message} />
      <Actions>
        <Button tone="primary" submit disabled={form.busy}>
          {t().account.changePassword}
        </Button>
      </Actions>
    </form>
  );
}

function DeleteForm(): JSX.Element {
  const [password, setPassword] = useState("");
  const form = useSubmission(() => deleteAccount(password), wrongPassword());
  return (
    <form class="form" onSubmit={form.submit}>
      <h3>{t().account.delete}</h3>
      <p class="hint">{t().account.deleteHint}</p>
      <Field label={t().account.confirm} type="password" value={password} onInput={setPassword} autocomplete="current-password" required />
      <FormError message={form.message} />
      <Actions>
        <Button tone="danger" submit disabled={form.busy || password === ""}>
          {t().account.deleteMine}
        </Button>
      </Actions>
    </form>
  );
}
