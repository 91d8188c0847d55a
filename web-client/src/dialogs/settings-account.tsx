/** Changing the password and deleting the account. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Actions, Field, FormError, useSubmission } from "../components/form";
import { sdk } from "../state/client";
import { me } from "../state/me";
import { leave } from "../state/session";
import { toast } from "../state/toasts";

const WRONG_PASSWORD = { invalid_credentials: "That password is incorrect." };

export function AccountSettings(): JSX.Element {
  return (
    <>
      {me()?.operator === true && (
        <p>
          You are an operator. <a href="/ops">View the status of the services</a>
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
    toast("Password changed. You were signed out on your other devices.");
  }, WRONG_PASSWORD);
  return (
    <form class="form" onSubmit={form.submit}>
      <h3>Change password</h3>
      <Field label="Current password" type="password" value={old} onInput={setOld} autocomplete="current-password" error={form.fields.get("password")} required />
      <Field
        label="New password"
        type="password"
        value={next}
        onInput={setNext}
        autocomplete="new-password"
        hint="At least 8 characters. You will be signed out on your other devices."
        error={form.fields.get("new_password")}
        minLength={8}
        required
      />
      <FormError message={form.fields.size > 0 ? "" : form.message} />
      <Actions>
        <Button tone="primary" submit disabled={form.busy}>
          Change password
        </Button>
      </Actions>
    </form>
  );
}

function DeleteForm(): JSX.Element {
  const [password, setPassword] = useState("");
  const form = useSubmission(async () => {
    await sdk().rest.deleteMe({ password });
    leave("Your account was deleted.");
  }, WRONG_PASSWORD);
  return (
    <form class="form" onSubmit={form.submit}>
      <h3>Delete account</h3>
      <p class="hint">Permanent. You leave all channels and your profile is erased. Your messages stay, shown as from a deleted account.</p>
      <Field label="Confirm with your password" type="password" value={password} onInput={setPassword} autocomplete="current-password" required />
      <FormError message={form.message} />
      <Actions>
        <Button tone="danger" submit disabled={form.busy || password === ""}>
          Delete my account
        </Button>
      </Actions>
    </form>
  );
}
