/** The page: the sign-in screen or the chat. */

import type { JSX } from "preact";

import { Button } from "./components/button";
import { LiveLog, Toasts } from "./components/toasts";
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
      return <main id="main" class="entry" aria-busy="true" aria-label="Loading" />;
    case "signed-out":
      return <SignIn />;
    case "unreachable":
      return (
        <main id="main" class="entry">
          <div class="entry-card">
            <h1>Can't reach the server</h1>
            <p>Check your connection and try again.</p>
            <Button tone="primary" onClick={() => void resumeSession()}>
              Try again
            </Button>
          </div>
        </main>
      );
    case "signed-in":
      return <Chat key={session.value.me.id} />;
  }
}
