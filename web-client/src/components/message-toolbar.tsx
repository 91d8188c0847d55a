/** The actions for a message, shown on hover and on focus. */

import type { JSX } from "preact";

import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import type { ChannelState } from "../state/channel-state";
import { edit, reply } from "../state/compose";
import { openDialog } from "../state/dialog";
import { isSet, react } from "../state/react";
import { markUnread } from "../state/reading";
import { copyLink } from "../state/share";
import { testids } from "../testids";
import { IconButton } from "./button";

const QUICK = ["👍", "❤️", "😂"];

interface MessageToolbarProps {
  readonly state: ChannelState;
  readonly message: LoggedMessage;
  readonly mine: boolean;
  /** Whether Tab reaches the buttons. True only for the message that is the list's tab stop. */
  readonly reachable: boolean;
}

export function MessageToolbar({ state, message, mine, reachable }: MessageToolbarProps): JSX.Element {
  const tabIndex = reachable ? 0 : -1;
  return (
    <div class="toolbar" role="toolbar" aria-label={t().message.actions}>
      {QUICK.map((emoji) => (
        <button
          key={emoji}
          type="button"
          class="icon-button quick"
          tabIndex={tabIndex}
          aria-label={t().message.reactWith(emoji)}
          aria-pressed={isSet(message, emoji)}
          onClick={() => react(state, message, emoji)}
          data-testid={testids.quickReaction}
        >
          {emoji}
        </button>
      ))}
      <IconButton icon="smile" label={t().common.react} tabIndex={tabIndex} onClick={() => openDialog({ name: "react", message })} testid={testids.react} />
      <IconButton icon="reply" label={t().message.reply} tabIndex={tabIndex} onClick={() => reply(state, message)} testid={testids.reply} />
      {mine && <IconButton icon="pencil" label={t().message.edit} tabIndex={tabIndex} onClick={() => edit(message)} testid={testids.edit} />}
      <IconButton icon="link" label={t().message.copyLink} tabIndex={tabIndex} onClick={() => void copyLink(state.id, message.seq)} testid={testids.copyLink} />
      <IconButton icon="unread" label={t().message.markUnread} tabIndex={tabIndex} onClick={() => markUnread(state, message)} testid={testids.markUnread} />
      {mine && (
        <IconButton icon="eye" label={t().message.receipts} tabIndex={tabIndex} onClick={() => openDialog({ name: "receipts", message })} testid={testids.receipts} />
      )}
      {(mine || state.manages) && (
        <IconButton icon="trash" label={t().common.delete} tabIndex={tabIndex} onClick={() => openDialog({ name: "delete-message", message })} testid={testids.remove} />
      )}
    </div>
  );
}
