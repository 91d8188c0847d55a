/** The page: the sign-in screen or the chat. */

import type { JSX } from "preact";

import { Button } from "./components/button";
import { LiveLog, Toasts } from "./components/toasts";
import { t } from "./i18n";
import { Chat } from "./screens/chat";
import { SignIn } from "./screens/sign-in";
import { session } from "./state/me";
import { resumeSession } from "./state/session";

export function App(): JSX.Element {
  return (
    <>
      <Screen />
      <LiveLog />
      <Toasts />
    </>
  );
}

function Screen(): JSX.Element {
  switch (session.value.name) {
    case "unknown":
      return <main id="main" class="entry" aria-busy="true" aria-label={t().app.loading} />;
    case "signed-out":
      return <SignIn />;
    case "unreachable":
      return (
        <main id="main" class="entry">
          <div class="entry-card">
            <h1>{t().app.unreachable}</h1>
            <p>{t().app.checkConnection}</p>
            <Button tone="primary" onClick={() => void resumeSession()}>
              {t().common.tryAgain}
            </Button>
          </div>
        </main>
      );
    case "signed-in":
      return <Chat key={session.value.me.id} />;
  }
}
