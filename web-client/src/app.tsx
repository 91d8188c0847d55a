/** The root component: the sign-in screen or the chat. */

import type { JSX } from "preact";

import { LiveLog, Toasts } from "./components/toasts";
import { ChatScreen, Waiting } from "./screens/load-chat";
import { SignIn } from "./screens/sign-in";
import { Unreachable } from "./screens/unreachable";
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
      return <Waiting />;
    case "signed-out":
      return <SignIn />;
    case "unreachable":
      return <Unreachable onRetry={() => void resumeSession()} />;
    case "signed-in":
      return <ChatScreen key={session.value.me.id} />;
  }
}
