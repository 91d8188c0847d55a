/** What can be done with a message: shown while it is pointed at, or has the focus. */

import type { JSX } from "preact";

import type { LoggedMessage } from "../lib/log";
import type { ChannelState } from "../state/channel-state";
import { edit, reply } from "../state/compose";
import { openDialog } from "../state/dialog";
import { isSet, react } from "../state/react";
import { copyLink } from "../state/share";
import { testids } from "../testids";
import { IconButton } from "./button";

const QUICK = ["👍", "❤️", "😂"];

interface MessageToolbarProps {
  readonly state: ChannelState;
  readonly message: LoggedMessage;
  readonly mine: boolean;
  /** Whether Tab reaches the buttons: those of the message that Tab stops at. */
  readonly reachable: boolean;
}

export function MessageToolbar({ state, message, mine, reachable }: MessageToolbarProps): JSX.Element {
  const tabIndex = reachable ? 0 : -1;
  return (
    <div class="toolbar" role="toolbar" aria-label="What to do with this message">
      {QUICK.map((emoji) => (
        <button
          key={emoji}
          type="button"
          class="icon-button quick"
          tabIndex={tabIndex}
          aria-label={`React with ${emoji}`}
          aria-pressed={isSet(message, emoji)}
          onClick={() => react(state, message, emoji)}
          data-testid={testids.quickReaction}
        >
          {emoji}
        </button>
      ))}
      <IconButton icon="smile" label="React" tabIndex={tabIndex} onClick={() => openDialog({ name: "react", message })} testid={testids.react} />
      <IconButton icon="reply" label="Reply" tabIndex={tabIndex} onClick={() => reply(message)} testid={testids.reply} />
      {mine && <IconButton icon="pencil" label="Edit" tabIndex={tabIndex} onClick={() => edit(message)} testid={testids.edit} />}
      <IconButton icon="link" label="Copy a link to this message" tabIndex={tabIndex} onClick={() => void copyLink(state.id, message.seq)} testid={testids.copyLink} />
      {mine && (
        <IconButton icon="eye" label="Who has read this" tabIndex={tabIndex} onClick={() => openDialog({ name: "receipts", message })} testid={testids.receipts} />
      )}
      {(mine || state.manages) && (
        <IconButton icon="trash" label="Delete" tabIndex={tabIndex} onClick={() => openDialog({ name: "delete-message", message })} testid={testids.remove} />
      )}
    </div>
  );
}
