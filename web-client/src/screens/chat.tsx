/**
 * The layout of the chat: the sidebar and the open channel. A phone shows one of them at a time.
 */

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { ConnectionStatus } from "../components/connection-status";
import { DialogHost } from "../components/dialog-host";
import { recordFocus, restoreFocus } from "../components/focus-trail";
import { focusFirst } from "../components/kept-focus";
import { Sidebar } from "../components/sidebar";
import { useTabMark } from "../components/tab-mark";
import { Button } from "../components/button";
import { t } from "../i18n";
import { watchBlocks } from "../state/blocks";
import { channels, channelsLoaded, openState } from "../state/channels";
import { dialog, type DialogRequest, openDialog, question } from "../state/dialog";
import { watchFiles } from "../state/files";
import { arriving } from "../state/join";
import { drawerShown } from "../state/members-pane";
import { popover } from "../state/popover";
import { navigate, route } from "../state/route";
import { handleShortcut } from "../state/shortcuts";
import { narrow, touch } from "../state/viewport";
import { testids } from "../testids";
import { ChannelScreen } from "./channel";
import { JoinScreen } from "./join";
import { LoadingScreen } from "./loading";

export function Chat(): JSX.Element {
  useEffect(() => {
    addEventListener("keydown", handleShortcut);
    return () => removeEventListener("keydown", handleShortcut);
  }, []);
  useEffect(watchFiles, []);
  useEffect(watchBlocks, []);
  useTabMark();
  useFoundFocus();
  const inside = route.value.name !== "home";
  const shown = inside || !narrow.value;
  return (
    <div class={`chat ${inside ? "chat-inside" : "chat-list"}`}>
      {shown && (
        <a class="skip-link" href="#main">
          {t().chat.skip}
        </a>
      )}
      {/* On a phone, the list is the main content while it is the only visible pane. */}
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
    return <NotFound />;
  }
  if (at.name === "home") {
    return <Welcome />;
  }
  const state = openState.value;
  // A channel that the page learned of over the WebSocket may not have its details yet. Wait for
  // them, because they contain the position of the first unread message.
  if (state?.details.value !== undefined) {
    return <ChannelScreen key={state.id} state={state} seq={at.seq} />;
  }
  const outside = channelsLoaded.value && state === undefined && arriving.value !== at.channelID;
  return outside ? <JoinScreen key={at.channelID} channelID={at.channelID} /> : <LoadingScreen key={at.channelID} channelID={at.channelID} />;
}

function NotFound(): JSX.Element {
  return (
    <main id="main" class="main" tabIndex={-1}>
      <header class="main-head">
        <div class="main-head-title" />
        <ConnectionStatus />
      </header>
      <div class="empty">
        <h1>{t().chat.notFound}</h1>
        <p>{t().chat.notFoundText}</p>
        <Button onClick={() => navigate({ name: "home" })}>{t().chat.goHome}</Button>
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
        <h1>{none ? t().chat.welcome : t().chat.pickUp}</h1>
        <p>{none ? t().chat.welcomeText : t().chat.pickUpText}</p>
        <div class="empty-actions">
          <Button tone="primary" onClick={() => openDialog({ name: "create-channel" })}>
            {t().chat.createChannel}
          </Button>
          <Button onClick={() => openDialog({ name: "browse" })} testid={testids.browseChannels}>
            {t().chat.browse}
          </Button>
          <Button onClick={() => openDialog({ name: "new-direct" })}>{t().chat.newMessage}</Button>
        </div>
        <p class="hint">
          {t().chat.switcherHint(
            <>
              <kbd>{t().chat.ctrl}</kbd> <kbd>K</kbd>
            </>,
          )}
        </p>
      </div>
    </main>
  );
}

/**
 * useFoundFocus moves the focus if the focused control has disappeared because a confirmation, a
 * dialog, a popover or a channel was closed. If a dialog or popover is still open, it receives the
 * focus. Otherwise, the focus moves to the channel or the message that the closed dialog was about.
 * If neither exists, the focus returns to its previous place or moves to the message field.
 */
function useFoundFocus(): void {
  const open = dialog.value;
  const asked = question.value;
  const over = popover.value;
  const at = route.value;
  const covered = drawerShown.value;
  const first = useRef(true);
  const before = useRef(open);
  useEffect(() => {
    const closed = before.current;
    before.current = open;
    if (first.current) {
      first.current = false;
      return undefined;
    }
    // Wait until the new screen's own effects have run, because they may move the focus to the
    // composer.
    const timer = setTimeout(() => {
      if (document.activeElement === null || document.activeElement === document.body) {
        const below = document.querySelector<HTMLElement>("dialog[open], .popover"); // below a question
        if (below !== null) {
          focusFirst(below);
        } else {
          const subject = subjectOf(closed);
          if (subject !== null) {
            subject.focus();
          } else if (!restoreFocus()) {
            focusMain();
          }
        }
      }
    }, 0);
    return () => clearTimeout(timer);
  }, [open, asked, over, at, covered]);
  useEffect(() => {
    document.addEventListener("focusin", recordFocus);
    return () => document.removeEventListener("focusin", recordFocus);
  }, []);
}

/** focusMain moves the focus to the message field or, if there is none, to the main content. */
function focusMain(): void {
  // On a touch screen, focusing the field would open the on-screen keyboard.
  const field = touch.peek() ? null : document.querySelector<HTMLElement>(`[data-testid="${testids.composer}"]`);
  // On a phone, there is no #main element while the channel list is shown.
  const main = field ?? document.querySelector<HTMLElement>("#main") ?? document.querySelector<HTMLElement>(`[data-testid="${testids.channelLink}"]`);
  main?.focus();
}

/**
 * subjectOf returns the channel in the list or the message that a dialog is about. The control that
 * opened the dialog may no longer be shown: the channel may be in another section, and a message's
 * buttons are shown only while the focus is on the message.
 */
function subjectOf(request: DialogRequest | undefined): HTMLElement | null {
  switch (request?.name) {
    case "move-channel":
      return document.querySelector(`[data-channel-id="${CSS.escape(request.channelID)}"]`);
    case "delete-message":
      return document.querySelector(`[data-message-id="${CSS.escape(request.message.id)}"]`);
    default:
      return null;
  }
}
