/** Loads the chat, which is the largest part of the page. The sign-in screen does not need it. */

import { signal } from "@preact/signals";
import type { ComponentType, JSX } from "preact";
import { useEffect } from "preact/hooks";

import { t } from "../i18n";
import { Unreachable } from "./unreachable";

type Loading = ComponentType | "failed" | undefined;

const chat = signal<Loading>(undefined);
let request: Promise<void> | undefined;

/**
 * loadChat starts loading the chat, unless loading has already started. It does not wait until the
 * chat is loaded.
 */
export function loadChat(): void {
  request ??= import("./chat").then(
    (module) => void (chat.value = module.Chat),
    () => void (chat.value = "failed"),
  );
}

/** ChatScreen shows the chat once it is loaded. */
export function ChatScreen(): JSX.Element {
  useEffect(loadChat, []);
  const Chat = chat.value;
  if (Chat === "failed") {
    // A browser may remember that a module could not be loaded and not request it again. Reloading
    // the page makes the browser try again.
    return <Unreachable onRetry={() => location.reload()} />;
  }
  return Chat === undefined ? <Waiting /> : <Chat />;
}

/** Waiting is an empty screen that is shown while the page or the chat is loading. */
export function Waiting(): JSX.Element {
  return <main id="main" class="entry" aria-busy="true" aria-label={t().app.loading} />;
}
