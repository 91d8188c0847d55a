/** Short messages at the edge of the page, and announcements for screen readers. */

import type { JSX } from "preact";

import { announcements } from "../state/announcements";
import { connection, connectionText } from "../state/connection";
import { dismiss, toasts } from "../state/toasts";
import { testids } from "../testids";
import { IconButton } from "./button";

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((t) => (
        <div key={t.id} class={`toast toast-${t.kind}`} data-testid={testids.toast}>
          <span>{t.text}</span>
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(t.id)} size={14} />
        </div>
      ))}
    </div>
  );
}

/**
 * The message list is windowed, so new messages are announced here rather than by the rows, which
 * come and go as the user scrolls.
 */
export function LiveLog(): JSX.Element {
  const { name } = connection.value;
  return (
    <>
      <div class="visually-hidden" role="log" aria-live="polite" aria-label="New messages" data-testid={testids.liveLog}>
        {announcements.value.map((a) => (
          <p key={a.id}>{a.text}</p>
        ))}
      </div>
      <div class="visually-hidden" role="status">
        {/* The text omits the seconds, so that screen readers do not read out a countdown. */}
        {name === "reconnecting" ? "Connection lost. Reconnecting…" : connectionText.value.text}
      </div>
    </>
  );
}
