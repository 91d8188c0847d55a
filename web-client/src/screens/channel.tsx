/** An open channel: header, messages, message field, and the members next to them. */

import type { JSX } from "preact";
import { useEffect, useLayoutEffect } from "preact/hooks";

import { IconButton } from "../components/button";
import { ChannelMark } from "../components/channel-link";
import { Composer } from "../components/composer";
import { ConnectionStatus } from "../components/connection-status";
import { Icon } from "../components/icon";
import { Members } from "../components/members";
import { MessageList } from "../components/message-list";
import { PopoverHost } from "../components/popover-host";
import { TypingLine } from "../components/typing-line";
import { t } from "../i18n";
import type { ChannelState } from "../state/channel-state";
import { resetCompose, showChannel } from "../state/compose";
import { openDialog } from "../state/dialog";
import { failedRead } from "../state/history";
import { showPresence } from "../state/lifecycle";
import { connection } from "../state/connection";
import { toggleFrom } from "../state/popover";
import { requestReaders } from "../state/receipts";
import { beginVisit } from "../state/reading";
import { membersShown, showMembers, uncoverMessages } from "../state/members-pane";
import { navigate } from "../state/route";
import { copyLink } from "../state/share";
import { testids } from "../testids";

interface ChannelScreenProps {
  readonly state: ChannelState;
  /** The seq of the message to which a link points. */
  readonly seq: number | undefined;
}

export function ChannelScreen({ state, seq }: ChannelScreenProps): JSX.Element {
  // This must be a layout effect, so that it runs before the list's effects, which mark the visible
  // messages as read.
  useLayoutEffect(() => {
    resetCompose();
    uncoverMessages();
    state.handle.follow(); // if it was left out
    beginVisit(state);
    return () => {
      state.newAfter.value = undefined;
      uncoverMessages();
    };
  }, [state]);
  useEffect(() => void showChannel(state, seq), [state, seq]);
  const live = connection.value.name === "up-to-date";
  useRetry(state, seq, live);
  useEffect(() => {
    if (live) {
      void showPresence(state);
      requestReaders(state).catch(() => undefined);
    }
  }, [state, live]);
  const beside = membersShown.value && state.kind !== "direct";
  return (
    <>
      <main id="main" class={`main ${beside ? "main-beside" : ""}`} tabIndex={-1}>
        <Head state={state} />
        <MessageList state={state} />
        <TypingLine state={state} />
        <Composer state={state} />
        <PopoverHost />
      </main>
      {beside && <Members state={state} />}
    </>
  );
}

/** useRetry retries a failed attempt to load messages once the page is connected. */
function useRetry(state: ChannelState, seq: number | undefined, live: boolean): void {
  const failed = failedRead(state);
  useEffect(() => {
    if (!live || failed === undefined) {
      return undefined;
    }
    const retry = async (): Promise<void> => {
      const empty = state.log.peek() === undefined;
      await failed.retry();
      if (empty && state.log.peek() !== undefined) {
        await showChannel(state, seq);
      }
    };
    const timer = setTimeout(() => void retry(), failed.delay);
    return () => clearTimeout(timer);
  }, [state, seq, live, failed?.retry]);
}

function Head({ state }: { readonly state: ChannelState }): JSX.Element {
  const details = state.details.value;
  const direct = state.kind === "direct";
  const members = details?.member_count ?? 0;
  const online = state.online.value.count;
  return (
    <header class="main-head">
      <span class="only-narrow">
        <IconButton icon="back" label={t().channel.back} onClick={() => navigate({ name: "home" })} testid={testids.back} />
      </span>
      <div class="main-head-title">
        <ChannelMark state={state} />
        <h1 dir="auto" data-testid={testids.channelTitle}>{state.title.value}</h1>
        {!direct && details !== undefined && details.description !== "" && <p class="topic" dir="auto">{details.description}</p>}
      </div>
      <ConnectionStatus />
      <div class="main-head-actions">
        {!direct && (
          <button
            type="button"
            class="icon-button members-button"
            aria-pressed={membersShown.value}
            aria-label={t().channel.membersButton(members, online)}
            title={t().channel.membersOnline(members, online)}
            onClick={() => showMembers(!membersShown.value)}
            data-testid={testids.toggleMembers}
          >
            <Icon name="people" />
            <span class="members-count">{members}</span>
          </button>
        )}
        {!direct && <IconButton icon="link" label={t().channel.copyLink} onClick={() => void copyLink(state.id)} testid={testids.shareLink} />}
        <IconButton
          icon="info"
          label={direct ? t().channel.viewProfile : t().channel.details}
          onClick={(event) => (direct ? toggleFrom(event, { name: "person", userID: details?.peer?.user_id ?? "" }) : openDialog({ name: "channel", channelID: state.id }))}
          testid={testids.channelSettings}
        />
      </div>
    </header>
  );
}
