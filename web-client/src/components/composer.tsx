/** The message field. It grows with its text, keeps a draft per channel, and completes @names. */

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { t } from "../i18n";
import { composing } from "../lib/composing";
import { candidates, complete, mentionAt, type MentionQuery } from "../lib/mention-query";
import { blocked, unblock } from "../state/blocks";
import { plainText } from "../state/bodies";
import type { ChannelState } from "../state/channel-state";
import { loadMembers } from "../state/channels";
import { sdk } from "../state/client";
import { composerFocus, edit, lastOwn, returnToNewest, toNewest } from "../state/compose";
import { draftOf, keepDraft } from "../state/drafts";
import { openNewest } from "../state/history";
import { nameOf, person } from "../state/people";
import { myID } from "../state/me";
import { attempt, toast } from "../state/toasts";
import { touch } from "../state/viewport";
import { testids } from "../testids";
import { Button, IconButton } from "./button";
import { fitHeight } from "./fit-height";
import { MentionList, type Suggestion } from "./mention-list";
import { submits } from "./submit-key";

const MAX_SUGGESTIONS = 6;
const encoder = new TextEncoder();

export function Composer({ state }: { readonly state: ChannelState }): JSX.Element {
  const peer = state.details.value?.peer;
  return peer !== undefined && blocked.value.has(peer.user_id) ? <Blocked userID={peer.user_id} username={peer.username} /> : <MessageField state={state} />;
}

/** Blocked replaces the message field if this user has blocked the other user. */
function Blocked({ userID, username }: { readonly userID: string; readonly username: string }): JSX.Element {
  const name = nameOf(person(userID).value, username);
  return (
    <div class="composer composer-blocked" data-testid={testids.composerBlocked}>
      <p>{t().composer.blocked(name)}</p>
      <Button onClick={() => void attempt(() => unblock(userID))} label={t().contacts.unblockPerson(name)} testid={testids.unblock}>
        {t().contacts.unblock}
      </Button>
    </div>
  );
}

function MessageField({ state }: { readonly state: ChannelState }): JSX.Element {
  const [body, setBody] = useState(() => draftOf(myID(), state.id));
  const [query, setQuery] = useState<MentionQuery | undefined>(undefined);
  const [chosen, setChosen] = useState(0);
  const field = useRef<HTMLTextAreaElement>(null);
  const names = query === undefined ? [] : suggestionsFor(state, query.text);
  useLayoutEffect(() => fitHeight(field.current), [body]);
  const focus = composerFocus.value;
  useEffect(() => {
    // Do not focus the field on a phone, where the on-screen keyboard would cover the messages.
    if (focus > 0 || matchMedia("(hover: hover)").matches) {
      field.current?.focus();
    }
  }, [focus]);
  useEffect(() => () => state.handle.stopTyping(), [state]);

  const type = (text: string, cursor: number): void => {
    setBody(text);
    keepDraft(myID(), state.id, text);
    const typed = mentionAt(text, cursor);
    setQuery(typed);
    setChosen(0);
    if (typed !== undefined && state.members.peek() === undefined && state.kind !== "direct") {
      // Do not show an error if the members cannot be loaded: the field then only lacks
      // suggestions.
      loadMembers(state).catch(() => undefined);
    }
    if (text.trim() === "") {
      state.handle.stopTyping();
    } else {
      state.handle.typing();
    }
  };
  const pick = (name: string): void => {
    if (query === undefined) {
      return;
    }
    const done = complete(body, query, name);
    type(done.body, done.cursor);
    setQuery(undefined);
    requestAnimationFrame(() => field.current?.setSelectionRange(done.cursor, done.cursor));
    field.current?.focus();
  };
  const send = (): void => {
    if (sendBody(state, body)) {
      setBody("");
      keepDraft(myID(), state.id, "");
      setQuery(undefined);
    }
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (composing(event)) {
      return;
    }
    if (names.length > 0 && steer(event, names.length, chosen, setChosen, () => pick(names[chosen]?.name ?? ""), () => setQuery(undefined))) {
      return;
    }
    if (submits(event)) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape" && state.replyingTo.value !== undefined) {
      state.replyingTo.value = undefined;
    } else if (event.key === "ArrowUp" && body === "") {
      const own = lastOwn(state);
      if (own !== undefined) {
        event.preventDefault();
        edit(own);
      }
    }
  };
  const place = state.kind === "direct" ? state.title.value : `#${state.title.value}`;
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <ReplyPreview state={state} />
      {names.length > 0 && <MentionList names={names} chosen={chosen} onPick={pick} />}
      <div class="composer-frame">
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          value={body}
          placeholder={t().composer.messageTo(place)}
          aria-label={t().composer.messageTo(place)}
          aria-autocomplete="list"
          aria-controls={names.length > 0 ? "mention-list" : undefined}
          aria-activedescendant={names.length > 0 ? `mention-${chosen}` : undefined}
          enterkeyhint={touch.value ? "enter" : "send"}
          onInput={(e) => type(e.currentTarget.value, e.currentTarget.selectionStart)}
          onKeyDown={onKeyDown}
          onBlur={() => setTimeout(() => setQuery(undefined), 150)}
          data-testid={testids.composer}
        />
        <IconButton icon="send" label={t().composer.send} onClick={send} disabled={body.trim() === ""} testid={testids.send} />
      </div>
    </form>
  );
}

/**
 * sendBody passes a message to the SDK, which stores it until it is sent. It returns false if
 * nothing was sent.
 */
function sendBody(state: ChannelState, typed: string): boolean {
  const body = typed.trim();
  if (body === "") {
    return false;
  }
  const max = sdk().limits?.max_body_bytes ?? 16384;
  if (encoder.encode(body).length > max) {
    toast(t().composer.tooLong(Math.floor(max / 1024)), "error");
    return false;
  }
  const replyTo = state.replyingTo.value?.id;
  // If the message cannot be sent, its row shows the error.
  state.handle.send(body, replyTo === undefined ? {} : { replyTo }).settled.catch(() => undefined);
  state.pending.value = state.handle.pending.filter((p) => p.kind === "send");
  state.replyingTo.value = undefined;
  state.newAfter.value = undefined;
  if (state.log.peek()?.atNewest === true) {
    toNewest();
  } else {
    returnToNewest(state);
    void openNewest(state);
  }
  return true;
}

function suggestionsFor(state: ChannelState, text: string): readonly Suggestion[] {
  const peer = state.details.value?.peer;
  const members = state.members.value ?? (peer === undefined ? [] : [peer]);
  const found = candidates(members, text, MAX_SUGGESTIONS).map((m) => ({ name: m.username, about: m.display_name }));
  return "channel".startsWith(text.toLowerCase()) && state.kind !== "direct" ? [...found, { name: "channel", about: t().composer.everyone }] : found;
}

/**
 * steer handles a key press for the list of suggested names, and reports whether it handled the
 * key.
 */
function steer(event: KeyboardEvent, count: number, chosen: number, choose: (index: number) => void, pick: () => void, close: () => void): boolean {
  switch (event.key) {
    case "ArrowDown":
      choose((chosen + 1) % count);
      break;
    case "ArrowUp":
      choose((chosen + count - 1) % count);
      break;
    case "Enter":
    case "Tab":
      pick();
      break;
    case "Escape":
      close();
      break;
    default:
      return false;
  }
  event.preventDefault();
  return true;
}

function ReplyPreview({ state }: { readonly state: ChannelState }): JSX.Element | null {
  const message = state.replyingTo.value;
  if (message === undefined) {
    return null;
  }
  return (
    <div class="reply-preview" data-testid={testids.replyPreview}>
      <span>
        {t().composer.replyingTo(<strong>{nameOf(person(message.sender_id).value, message.sender_name)}</strong>, plainText(message.body, 100))}
      </span>
      <IconButton
        icon="close"
        label={t().composer.cancelReply}
        size={16}
        onClick={() => {
          state.replyingTo.value = undefined;
        }}
      />
    </div>
  );
}
