/** Short messages at the edge of the page, and announcements for screen readers. */

import type { JSX } from "preact";

import { t } from "../i18n";
import { announcements } from "../state/announcements";
import { connection, connectionText } from "../state/connection";
import { session } from "../state/me";
import { dismiss, type Toast, type ToastAction, toasts, toastsHeld } from "../state/toasts";
import { testids } from "../testids";
import { Button, IconButton } from "./button";

const hold = (): void => {
  toastsHeld.value = true;
};
const letGo = (): void => {
  toastsHeld.value = false;
};

function UndoButton({ toast, action }: { readonly toast: Toast; readonly action: ToastAction }): JSX.Element {
  const undo = (): void => {
    dismiss(toast.id);
    letGo();
    action.run();
  };
  return (
    <Button tone="quiet" onClick={undo} testid={testids.undo}>
      {action.label}
    </Button>
  );
}

export function Toasts(): JSX.Element {
  return (
    <div
      class="toasts"
      role="status"
      aria-live="polite"
      onMouseEnter={hold}
      onMouseLeave={letGo}
      onFocusIn={hold}
      onFocusOut={letGo}
    >
      {toasts.value.map((toast) => (
        <div key={toast.id} class={`toast toast-${toast.kind}`} data-testid={testids.toast}>
          <span>{toast.text}</span>
          {toast.action !== undefined && <UndoButton toast={toast} action={toast.action} />}
          <IconButton icon="close" label={t().app.dismiss} onClick={() => dismiss(toast.id)} size={14} />
        </div>
      ))}
    </div>
  );
}

/**
 * New messages are announced here rather than by the rows of the windowed list, because scrolling
 * adds and removes rows.
 */
export function LiveLog(): JSX.Element {
  const { name } = connection.value;
  const connects = session.value.name === "signed-in"; // only then is there a connection
  return (
    <>
      <div class="visually-hidden" role="log" aria-live="polite" aria-label={t().app.newMessages} data-testid={testids.liveLog}>
        {announcements.value.map((a) => (
          <p key={a.id}>{a.text}</p>
        ))}
      </div>
      <div class="visually-hidden" role="status">
        {/* The text omits the seconds, so that screen readers do not read out a countdown. */}
        {connects && (name === "reconnecting" ? t().connection.lost : connectionText.value.text)}
      </div>
    </>
  );
}
