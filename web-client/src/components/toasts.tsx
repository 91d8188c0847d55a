/** What has happened, at the edge of the page, and what is told to screen readers alone. */

import type { JSX } from "preact";

import { announcements } from "../state/announcements";
import { connection, connectionWords } from "../state/connection";
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

/** The list of messages is windowed: what is new is said here, not by rows that come and go. */
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
        {/* Not the seconds: nobody wants to hear a countdown. */}
        {name === "reconnecting" ? "Connection lost, reconnecting" : connectionWords.value.text}
      </div>
    </>
  );
}
