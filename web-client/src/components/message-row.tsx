/** One message: author, time, text, reactions and actions. */

import type { JSX } from "preact";
import { useComputed } from "@preact/signals";

import { t } from "../i18n";
import { fullLabel, shortTimeLabel, timeLabel } from "../lib/dates";
import { onlyEmoji } from "../lib/emoji-only";
import { progressOf } from "../lib/readers";
import type { Row } from "../lib/rows";
import { plainText } from "../state/bodies";
import type { ChannelState } from "../state/channel-state";
import { edit, editing, reply } from "../state/compose";
import { openDialog } from "../state/dialog";
import { markUnread } from "../state/reading";
import { hasNamesake, mentionedNames, nameOf, person } from "../state/people";
import { popover, toggleFrom, togglePopover } from "../state/popover";
import { myID } from "../state/me";
import { route } from "../state/route";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { EditField } from "./edit-field";
import { MessageText } from "./message-text";
import { MessageToolbar } from "./message-toolbar";
import { Quote } from "./quote";
import { Reactions } from "./reactions";
import { TextButton } from "./text-button";
import { Tick } from "./tick";

export interface MessageActions {
  readonly state: ChannelState;
}

interface MessageRowProps {
  readonly row: Row & { readonly kind: "message" };
  readonly actions: MessageActions;
  /** Whether this row is the list's tab stop. */
  readonly stop: boolean;
  readonly flash: boolean;
}

export function MessageRow({ row, actions, stop, flash }: MessageRowProps): JSX.Element {
  const { message, head, ms } = row;
  const { state } = actions;
  const mine = message.sender_id === myID();
  const author = person(message.sender_id).value;
  const name = nameOf(author, message.sender_name === "" ? t().common.deletedAccount : message.sender_name);
  const deleted = message.deleted_at !== null;
  const mentionsUser = !mine && (message.mentions.includes(myID()) || message.mentions.includes(state.id));
  const linked = useComputed(() => route.value.name === "channel" && route.value.channelID === state.id && route.value.seq === message.seq).value;
  const classes = ["row", head ? "row-head" : "", mentionsUser ? "row-mention" : "", linked ? "row-linked" : "", flash ? "row-flash" : ""].join(" ");
  const mentioned = mentionedNames(message);
  const openAuthor = (event: Event): void => openPerson(event, message.sender_id);
  return (
    <div
      role="listitem"
      class={classes}
      data-row={row.key}
      data-testid={testids.message}
      data-seq={message.seq}
      data-message-id={message.id}
      data-mine={mine ? "" : undefined}
      tabIndex={stop ? 0 : -1}
      aria-label={t().message.label(name, timeLabel(ms), deleted ? t().message.deletedLabel : plainText(message.body, 300))}
      onKeyDown={(event) => onKey(event, row, state, mine)}
    >
      <div class="row-side">
        {head ? (
          <button type="button" class="face" tabIndex={-1} aria-label={t().message.profileOf(name)} aria-haspopup="dialog" onClick={openAuthor} data-testid={testids.avatar}>
            <Avatar userID={message.sender_id} name={message.sender_name} />
          </button>
        ) : (
          <time class="row-time" dateTime={message.sent_at} title={fullLabel(ms)}>
            {shortTimeLabel(ms)}
          </time>
        )}
      </div>
      <div class="row-main">
        {message.reply_to !== null && !deleted && <Quote state={state} id={message.reply_to} />}
        {head && (
          <div class="row-who">
            <TextButton class="row-name" dir="auto" reachable={stop} onPress={openAuthor} testid={testids.author}>
              {name}
            </TextButton>
            {hasNamesake(author) && <span class="row-handle">@{author.username}</span>}
            <time dateTime={message.sent_at} title={fullLabel(ms)}>
              {timeLabel(ms)}
            </time>
          </div>
        )}
        {editing.value === message.id && !deleted ? (
          <EditField state={state} message={message} />
        ) : deleted ? (
          <p class="row-deleted">{t().message.deleted}</p>
        ) : (
          <div class={onlyEmoji(message.body) ? "row-body row-emoji" : "row-body"} data-testid={testids.messageBody}>
            <MessageText body={message.body} mentioned={mentioned} reachable={stop} onMention={openPerson} />
            {message.edited_at !== null && (
              <span class="row-edited" title={fullLabel(Date.parse(message.edited_at))}>
                {t().message.edited}
              </span>
            )}
          </div>
        )}
        {message.reactions.length > 0 && !deleted && <Reactions state={state} message={message} reachable={stop} />}
      </div>
      <div class="row-end">{mine && !deleted && <OwnTick state={state} seq={message.seq} />}</div>
      {!deleted && editing.value !== message.id && <MessageToolbar state={state} message={message} mine={mine} reachable={stop} />}
    </div>
  );
}

const openPerson = (event: Event, userID: string): void => toggleFrom(event, { name: "person", userID });

function OwnTick({ state, seq }: { readonly state: ChannelState; readonly seq: number }): JSX.Element {
  const { status, read, members } = progressOf(state.readers.value, seq, state.others);
  return <Tick status={status} {...(status !== "read" && read > 0 ? { label: t().message.readBy(read, members) } : {})} />;
}

/** onKey handles the keys of a focused message. The list handles the arrow keys. */
function onKey(event: KeyboardEvent, row: Row & { readonly kind: "message" }, state: ChannelState, mine: boolean): void {
  const element = event.currentTarget;
  // While a popover's chunk is being loaded, the message still has the focus.
  const other = event.target !== element || event.ctrlKey || event.metaKey || event.altKey;
  if (other || popover.peek() !== undefined || row.message.deleted_at !== null || !(element instanceof HTMLElement)) {
    return;
  }
  const { message } = row;
  const key = event.key.toLowerCase();
  if (key === "r") {
    reply(state, message);
  } else if (key === "e" && mine) {
    edit(message);
  } else if (key === "u") {
    markUnread(state, message);
  } else if (key === "+" || key === "=") {
    const button = element.querySelector<HTMLElement>(`[data-testid="${testids.react}"]`);
    togglePopover({ name: "react", message }, button ?? element, element);
  } else if (key === "delete" && (mine || state.manages)) {
    openDialog({ name: "delete-message", message });
  } else if (key === "enter") {
    element.querySelector<HTMLElement>(".toolbar button")?.focus();
  } else {
    return;
  }
  event.preventDefault();
}
