/**
 * One channel in the list. It reads only its own signals, so a message in one channel re-renders
 * only that channel's row.
 */

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useComputed } from "@preact/signals";

import { t } from "../i18n";
import { pathOf } from "../lib/routes";
import { preferencesOf } from "../state/channel-preferences";
import type { ChannelState } from "../state/channel-state";
import { openState } from "../state/channels";
import { openDialog } from "../state/dialog";
import { follow } from "../state/route";
import { openSection } from "../state/sections";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { Icon, type IconName } from "./icon";

const icons: Record<string, IconName> = { public: "hash", unlisted: "link", private: "lock" };

interface ChannelLinkProps {
  readonly state: ChannelState;
  /** Whether this channel is the first one in its section. */
  readonly first: boolean;
  /** The name of its section. */
  readonly section: string;
}

export function ChannelLink({ state, first, section }: ChannelLinkProps): JSX.Element {
  // When the open channel changes, only the two affected rows re-render.
  const current = useComputed(() => openState.value === state).value;
  const elsewhere = useComputed(() => openSection.value !== section).value;
  const muted = useComputed(() => preferencesOf(state.id).muted === true).value;
  const unread = state.unread.value;
  const highlights = state.kind === "direct" ? unread : state.mentions.value;
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    // Keyboard shortcuts can open a channel whose row is out of view, so scroll to it.
    if (current) {
      link.current?.scrollIntoView({ block: "nearest" });
    }
  }, [current]);
  const to = { name: "channel", channelID: state.id } as const;
  // Each section has one tab stop: the open channel or, if that is in another section, the first
  // channel.
  const stop = current || (first && elsewhere);
  return (
    <li>
      <a
        ref={link}
        href={pathOf(to)}
        class={`channel-link${unread > 0 && !muted ? " channel-unread" : ""}`}
        aria-current={current ? "page" : undefined}
        tabIndex={stop ? 0 : -1}
        onClick={(event) => follow(event, to)}
        aria-keyshortcuts="M"
        onKeyDown={(event) => {
          if (event.key.toLowerCase() === "m" && !event.ctrlKey && !event.metaKey && !event.altKey) {
            event.preventDefault();
            openDialog({ name: "move-channel", channelID: state.id });
          }
        }}
        data-testid={testids.channelLink}
        data-channel-id={state.id}
        data-unread={unread > 0 ? unread : undefined}
        data-mentions={state.mentions.value > 0 ? state.mentions.value : undefined}
      >
        <ChannelMark state={state} />
        <span class="channel-title" dir="auto">
          {state.title.value}
        </span>
        {muted && (
          <>
            <Icon name="mute" size={14} />
            <span class="visually-hidden">{t().sidebar.muted}</span>
          </>
        )}
        {highlights > 0 && !(muted && state.kind === "direct") ? (
          <span class="badge" data-testid={state.kind === "direct" ? testids.unreadBadge : testids.mentionBadge}>
            {count(highlights)}
            <span class="visually-hidden"> {state.kind === "direct" ? t().sidebar.unread : t().sidebar.mentions(highlights)}</span>
          </span>
        ) : (
          unread > 0 &&
          !muted && (
            <span class="count" data-testid={testids.unreadBadge}>
              {count(unread)}
              <span class="visually-hidden"> {t().sidebar.unread}</span>
            </span>
          )
        )}
      </a>
    </li>
  );
}

const count = (n: number): string => (n > 999 ? "999+" : String(n));

/** ChannelMark is a channel's icon, or the other user's picture. */
export function ChannelMark({ state }: { readonly state: ChannelState }): JSX.Element {
  const peer = state.details.value?.peer;
  if (peer !== undefined) {
    return <Avatar userID={peer.user_id} name={peer.username} size="small" online={state.online.value.users.has(peer.user_id)} />;
  }
  return <Icon name={icons[state.kind] ?? "message"} size={16} />;
}
