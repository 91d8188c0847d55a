/** The sign-in screen: sign in, or create an account. */

import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Field, FormError, useSubmission } from "../components/form";
import { t } from "../i18n";
import { session } from "../state/me";
import { linkedChannel, logIn, signUp } from "../state/session";
import { testids } from "../testids";
import { loadChat } from "./load-chat";

export function SignIn(): JSX.Element {
  const [joining, setJoining] = useState(false);
  const card = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => card.current?.querySelector<HTMLElement>("[data-autofocus]")?.focus(), [joining]);
  const state = session.value;
  const notice = state.name === "signed-out" ? state.notice : undefined;
  return (
    <main id="main" class="entry" data-testid={testids.signIn}>
      <div ref={card} class="entry-card">
        <img src="/icon.svg" alt="" width="48" height="48" />
        <h1>{joining ? t().signIn.createTitle : t().signIn.title}</h1>
        {notice !== undefined && <p class="notice">{notice}</p>}
        {linkedChannel() !== undefined && <p class="notice">{t().signIn.linked}</p>}
        {joining ? <SignUpForm /> : <LogInForm />}
        <p class="entry-other">
          {joining ? t().signIn.haveAccount : t().signIn.newHere}{" "}
          <button type="button" class="link-button" data-testid={testids.modeSwitch} onClick={() => setJoining(!joining)}>
            {joining ? t().signIn.signIn : t().signIn.createAnAccount}
          </button>
        </p>
      </div>
    </main>
  );
}

/** enter loads the chat while the server checks the credentials. */
function enter(request: Promise<void>): Promise<void> {
  loadChat();
  return request;
}

function LogInForm(): JSX.Element {
  const [login, setLogin] = useState("");
  const [password, setPassword] = useState("");
  const form = useSubmission(() => enter(logIn({ login: login.trim(), password })), { invalid_credentials: t().problems.invalid_credentials });
  return (
    <form onSubmit={form.submit} class="form">
      <Field label={t().signIn.login} value={login} onInput={setLogin} autocomplete="username" required autofocus testid={testids.login} />
      <Field label={t().signIn.password} type="password" value={password} onInput={setPassword} autocomplete="current-password" required testid={testids.password} />
      <FormError message={form.message} />
      <Button tone="primary" submit disabled={form.busy} testid={testids.submit}>
        {form.busy ? t().signIn.signingIn : t().signIn.signIn}
      </Button>
    </form>
  );
}

function SignUpForm(): JSX.Element {
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const form = useSubmission(() => enter(signUp({ username: username.trim(), email: email.trim(), password })));
  return (
    <form onSubmit={form.submit} class="form">
      <Field
        label={t().signIn.username}
        value={username}
        onInput={setUsername}
        autocomplete="username"
        hint={t().signIn.usernameHint}
        error={form.fields.get("username")}
        required
        autofocus
        minLength={3}
        maxLength={50}
        testid={testids.username}
      />
      <Field label={t().signIn.email} type="email" value={email} onInput={setEmail} autocomplete="email" error={form.fields.get("email")} required testid={testids.email} />
      <Field
        label={t().signIn.password}
        type="password"
        value={password}
        onInput={setPassword}
        autocomplete="new-password"
        hint={t().signIn.passwordHint}
        error={form.fields.get("password")}
        required
        minLength={8}
        testid={testids.password}
      />
      <FormError message={form.fields.size > 0 ? "" : form.message} />
      <Button tone="primary" submit disabled={form.busy} testid={testids.submit}>
        {form.busy ? t().signIn.creating : t().signIn.createAccount}
      </Button>
    </form>
  );
}
