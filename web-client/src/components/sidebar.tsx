/** The sidebar: invitations, channels, direct messages and the user's account. */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { useComputed } from "@preact/signals";

import type { ChannelState } from "../state/channel-state";
import { channelsLoaded, directChannels, namedChannels, openState } from "../state/channels";
import { openDialog } from "../state/dialog";
import { nameOf, person } from "../state/people";
import { collapsedSections } from "../state/preferences";
import { route } from "../state/route";
import { myID } from "../state/me";
import { narrow } from "../state/viewport";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { IconButton } from "./button";
import { ChannelLink } from "./channel-link";
import { ConnectionStatus } from "./connection-status";
import { Icon } from "./icon";
import { Invitations } from "./invitations";

export function Sidebar(): JSX.Element {
  return (
    <nav class="sidebar" aria-label="Channels" data-testid={testids.sidebar}>
      <div class="sidebar-head">
        <button type="button" class="switcher-button" onClick={() => openDialog({ name: "switcher" })} data-testid={testids.openSwitcher}>
          <Icon name="search" size={16} />
          <span>Jump to…</span>
          <kbd aria-hidden="true">Ctrl K</kbd>
        </button>
        {narrow.value && route.value.name === "home" && <ConnectionStatus />}
      </div>
      <div class="sidebar-lists">
        <Invitations />
        <Section title="Channels" channels={namedChannels.value} empty="You haven't joined any channels.">
          <IconButton icon="search" label="Browse channels" onClick={() => openDialog({ name: "browse" })} testid={testids.browseChannels} size={16} />
          <IconButton icon="link" label="Join with a link or ID" onClick={() => openDialog({ name: "join" })} testid={testids.joinChannel} size={16} />
          <IconButton icon="plus" label="Create a channel" onClick={() => openDialog({ name: "create-channel" })} testid={testids.createChannel} size={16} />
        </Section>
        <Section title="Direct messages" channels={directChannels.value} empty="No direct messages yet.">
          <IconButton icon="plus" label="New message" onClick={() => openDialog({ name: "new-direct" })} testid={testids.newDirect} size={16} />
        </Section>
      </div>
      <Account />
    </nav>
  );
}

interface SectionProps {
  readonly title: string;
  readonly channels: readonly ChannelState[];
  readonly empty: string;
  readonly children: JSX.Element | readonly JSX.Element[];
}

function Section({ title, channels, empty, children }: SectionProps): JSX.Element {
  const list = useRef<HTMLUListElement>(null);
  const collapsed = useComputed(() => collapsedSections.value.includes(title)).value;
  const shown = collapsed ? channels.filter((c) => c.unread.value > 0 || c === openState.value) : channels;
  const toggle = (): void => {
    collapsedSections.value = collapsed ? collapsedSections.value.filter((t) => t !== title) : [...collapsedSections.value, title];
  };
  return (
    <section class="sidebar-section">
      <div class="section-head">
        <h2>
          <button
            type="button"
            class="section-toggle"
            aria-expanded={!collapsed}
            title={collapsed ? "Show all" : "Show only unread"}
            onClick={toggle}
            data-testid={testids.foldSection}
          >
            <Icon name="fold" size={14} />
            {title}
          </button>
        </h2>
        <div class="section-actions">{children}</div>
      </div>
      {channels.length === 0 ? (
        <p class="section-empty">{channelsLoaded.value ? empty : "Loading…"}</p>
      ) : shown.length === 0 ? (
        <p class="section-empty">No unread messages.</p>
      ) : (
        <ul ref={list} class="channel-list" onKeyDown={(event) => moveFocus(event, list.current)}>
          {shown.map((state, i) => (
            <ChannelLink key={state.id} state={state} first={i === 0} />
          ))}
        </ul>
      )}
    </section>
  );
}

/**
 * moveFocus moves the focus within the list with the arrow keys. Tab leaves the list, so even 500
 * channels are a single tab stop.
 */
function moveFocus(event: KeyboardEvent, list: HTMLUListElement | null): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const ends = event.key === "Home" || event.key === "End";
  if (list === null || event.altKey || (step === 0 && !ends)) {
    return;
  }
  event.preventDefault();
  const links = [...list.querySelectorAll<HTMLElement>("a")];
  const at = links.findIndex((l) => l === document.activeElement);
  const next = event.key === "Home" ? 0 : event.key === "End" ? links.length - 1 : Math.max(0, Math.min(links.length - 1, at + step));
  links[next]?.focus();
}

function Account(): JSX.Element {
  const me = person(myID()).value;
  return (
    <div class="account">
      <button type="button" class="account-button" onClick={() => openDialog({ name: "settings" })} data-testid={testids.openSettings}>
        <Avatar userID={myID()} size="small" />
        <span class="account-name">{nameOf(me)}</span>
        <span class="visually-hidden">: profile and settings</span>
      </button>
      <IconButton icon="book" label="Contacts" onClick={() => openDialog({ name: "contacts" })} testid={testids.openContacts} />
      <IconButton icon="people" label="Groups" onClick={() => openDialog({ name: "groups" })} testid={testids.openGroups} />
      <IconButton icon="gear" label="Settings" onClick={() => openDialog({ name: "settings", tab: "appearance" })} />
    </div>
  );
}
