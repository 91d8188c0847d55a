/** The list of channels and direct messages, and who one is. */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { useComputed } from "@preact/signals";

import type { ChannelState } from "../state/channel-state";
import { channelsLoaded, directChannels, namedChannels, openState } from "../state/channels";
import { openDialog } from "../state/dialog";
import { nameOf, person } from "../state/people";
import { folded } from "../state/preferences";
import { route } from "../state/route";
import { myID } from "../state/session";
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
          <span>Go to…</span>
          <kbd aria-hidden="true">Ctrl K</kbd>
        </button>
        {narrow.value && route.value.name === "home" && <ConnectionStatus />}
      </div>
      <div class="sidebar-lists">
        <Invitations />
        <Section title="Channels" channels={namedChannels.value} empty="You are in no channel yet.">
          <IconButton icon="search" label="Browse public channels" onClick={() => openDialog({ name: "browse" })} testid={testids.browseChannels} size={16} />
          <IconButton icon="link" label="Join by link or id" onClick={() => openDialog({ name: "join" })} testid={testids.joinChannel} size={16} />
          <IconButton icon="plus" label="Create a channel" onClick={() => openDialog({ name: "create-channel" })} testid={testids.createChannel} size={16} />
        </Section>
        <Section title="Direct messages" channels={directChannels.value} empty="Nobody yet.">
          <IconButton icon="plus" label="New direct message" onClick={() => openDialog({ name: "new-direct" })} testid={testids.newDirect} size={16} />
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
  const shut = useComputed(() => folded.value.includes(title)).value;
  const shown = shut ? channels.filter((c) => c.unread.value > 0 || c === openState.value) : channels;
  const toggle = (): void => {
    folded.value = shut ? folded.value.filter((t) => t !== title) : [...folded.value, title];
  };
  return (
    <section class="sidebar-section">
      <div class="section-head">
        <h2>
          <button
            type="button"
            class="section-toggle"
            aria-expanded={!shut}
            title={shut ? "Show all" : "Show only what is unread"}
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
        <p class="section-empty">Nothing unread.</p>
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

/** The arrows go through the list; Tab goes past it. Five hundred channels are not five hundred stops. */
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
