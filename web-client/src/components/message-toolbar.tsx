/**
 * The most frequent actions for a message, shown on hover and on focus, and a menu with the rest.
 */

import type { JSX } from "preact";
import { useComputed } from "@preact/signals";

import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import type { ChannelState } from "../state/channel-state";
import { edit, reply } from "../state/compose";
import { popover, toggleFrom } from "../state/popover";
import { isSet, quickEmoji, react } from "../state/react";
import { copyLink } from "../state/share";
import { testids } from "../testids";
import { IconButton } from "./button";

interface MessageToolbarProps {
  readonly state: ChannelState;
  readonly message: LoggedMessage;
  readonly mine: boolean;
  /** Whether Tab reaches the buttons, which is true only if the message is the list's tab stop. */
  readonly reachable: boolean;
}

export function MessageToolbar({ state, message, mine, reachable }: MessageToolbarProps): JSX.Element {
  const tabIndex = reachable ? 0 : -1;
  const emoji = quickEmoji();
  /** The name of this message's open popover. */
  const open = useComputed(() => {
    const request = popover.value?.request;
    return request !== undefined && "message" in request && request.message.id === message.id ? request.name : undefined;
  }).value;
  return (
    <div class={open === undefined ? "toolbar" : "toolbar toolbar-open"} role="toolbar" aria-label={t().message.actions}>
      <button
        type="button"
        class="icon-button quick"
        tabIndex={tabIndex}
        aria-label={t().message.reactWith(emoji)}
        title={t().message.reactWith(emoji)}
        aria-pressed={isSet(message, emoji)}
        onClick={() => react(state, message, emoji)}
        data-testid={testids.quickReaction}
      >
        {emoji}
      </button>
      <IconButton
        icon="smile"
        label={t().common.react}
        tabIndex={tabIndex}
        opens={{ kind: "dialog", open: open === "react" }}
        onClick={(event) => toggleFrom(event, { name: "react", message })}
        testid={testids.react}
      />
      <IconButton icon="reply" label={t().message.reply} tabIndex={tabIndex} onClick={() => reply(state, message)} testid={testids.reply} />
      {mine ? (
        <IconButton icon="pencil" label={t().message.edit} tabIndex={tabIndex} onClick={() => edit(message)} testid={testids.edit} />
      ) : (
        <IconButton icon="link" label={t().message.copyLink} tabIndex={tabIndex} onClick={() => void copyLink(state.id, message.seq)} testid={testids.copyLink} />
      )}
      <IconButton
        icon="more"
        label={t().message.more}
        tabIndex={tabIndex}
        opens={{ kind: "menu", open: open === "message-menu" }}
        onClick={(event) => toggleFrom(event, { name: "message-menu", message })}
        testid={testids.moreActions}
      />
    </div>
  );
}
