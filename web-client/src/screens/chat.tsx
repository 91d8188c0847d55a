/** The frame of the chat: channels on one side, what is open on the other. On a phone one of them at a time. */

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { ConnectionStatus } from "../components/connection-status";
import { DialogHost } from "../components/dialog-host";
import { Sidebar } from "../components/sidebar";
import { Button } from "../components/button";
import { channels, channelsLoaded, openState, totalUnread } from "../state/channels";
import { openDialog } from "../state/dialog";
import { navigate, route } from "../state/route";
import { handleShortcut } from "../state/shortcuts";
import { narrow } from "../state/viewport";
import { testids } from "../testids";
import { ChannelScreen } from "./channel";
import { JoinScreen } from "./join";

export function Chat(): JSX.Element {
  useEffect(() => {
    addEventListener("keydown", handleShortcut);
    return () => removeEventListener("keydown", handleShortcut);
  }, []);
  useTitle();
  const inside = route.value.name !== "home";
  const shown = inside || !narrow.value;
  return (
    <div class={`chat ${inside ? "chat-inside" : "chat-list"}`}>
      {shown && (
        <a class="skip-link" href="#main">
          Skip to messages
        </a>
      )}
      {/* Alone on a phone, the list is what the page is about. */}
      <div class="chat-side" role={shown ? undefined : "main"}>
        {!shown && <h1 class="visually-hidden">Parley</h1>}
        <Sidebar />
      </div>
      {shown && <Main />}
      <DialogHost />
    </div>
  );
}

function Main(): JSX.Element {
  const at = route.value;
  if (at.name === "unknown") {
    return <Nothing title="There is nothing here" text="The address of this page is not one that Parley knows." />;
  }
  if (at.name === "home") {
    return <Welcome />;
  }
  const state = openState.value;
  if (state !== undefined) {
    return <ChannelScreen key={state.id} state={state} seq={at.seq} />;
  }
  return channelsLoaded.value ? <JoinScreen key={at.channelID} channelID={at.channelID} /> : <Nothing title="Loading…" text="" />;
}

function Nothing({ title, text }: { readonly title: string; readonly text: string }): JSX.Element {
  return (
    <main id="main" class="main" tabIndex={-1}>
      <header class="main-head">
        <div class="main-head-title" />
        <ConnectionStatus />
      </header>
      <div class="empty">
        <h1>{title}</h1>
        <p>{text}</p>
        {text !== "" && <Button onClick={() => navigate({ name: "home" })}>To your channels</Button>}
      </div>
    </main>
  );
}

function Welcome(): JSX.Element {
  const none = channelsLoaded.value && channels.value.size === 0;
  return (
    <main id="main" class="main" tabIndex={-1}>
      <header class="main-head">
        <div class="main-head-title" />
        <ConnectionStatus />
      </header>
      <div class="empty">
        <h1>{none ? "Welcome to Parley" : "Pick up a conversation"}</h1>
        <p>{none ? "You are in no channel yet. Make one and share its link, look at what is public, or write to somebody." : "Choose a channel on the left, or begin something new."}</p>
        <div class="empty-actions">
          <Button tone="primary" onClick={() => openDialog({ name: "create-channel" })}>
            Create a channel
          </Button>
          <Button onClick={() => openDialog({ name: "browse" })} testid={testids.browseChannels}>
            Browse public channels
          </Button>
          <Button onClick={() => openDialog({ name: "new-direct" })}>Write to somebody</Button>
        </div>
        <p class="hint">
          <kbd>Ctrl</kbd> <kbd>K</kbd> goes to any channel.
        </p>
      </div>
    </main>
  );
}

/** The tab tells how much calls for attention, and where one is. */
function useTitle(): void {
  const { calls, messages } = totalUnread.value;
  const state = openState.value;
  const title = state?.title.value ?? "";
  const mark = calls > 0 ? `(${calls}) ` : messages > 0 ? "• " : "";
  const place = state === undefined ? "" : state.kind === "direct" ? `${title} – ` : `#${title} – `;
  useEffect(() => {
    document.title = `${mark}${place}Parley`;
  }, [mark, place]);
}
