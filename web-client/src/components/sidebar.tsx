/** The sidebar: contacts, groups, invitations, the sections of channels, and the user's account. */

import type { ComponentChildren, JSX } from "preact";
import { useRef } from "preact/hooks";
import { useComputed } from "@preact/signals";

import { t } from "../i18n";
import type { ChannelState } from "../state/channel-state";
import { channelsLoaded, openState } from "../state/channels";
import { startedOffline } from "../state/connection";
import { openDialog } from "../state/dialog";
import { collapsedSections } from "../state/preferences";
import { route } from "../state/route";
import { type Section as ListSection, sections } from "../state/sections";
import { narrow } from "../state/viewport";
import { testids } from "../testids";
import { AccountMenu } from "./account-menu";
import { IconButton } from "./button";
import { ChannelLink } from "./channel-link";
import { ConnectionStatus } from "./connection-status";
import { Icon } from "./icon";
import { Invitations } from "./invitations";

export function Sidebar(): JSX.Element {
  return (
    <nav class="sidebar" aria-label={t().sidebar.label} data-testid={testids.sidebar}>
      <div class="sidebar-head">
        <button type="button" class="switcher-button" onClick={() => openDialog({ name: "switcher" })} data-testid={testids.openSwitcher}>
          <Icon name="search" size={16} />
          <span>{t().sidebar.jumpTo}</span>
          <kbd aria-hidden="true">{t().chat.ctrl} K</kbd>
        </button>
        {narrow.value && route.value.name === "home" && <ConnectionStatus />}
      </div>
      <div class="sidebar-lists">
        <div class="sidebar-places">
          <button type="button" class="sidebar-place" onClick={() => openDialog({ name: "contacts" })} data-testid={testids.openContacts}>
            <Icon name="book" size={16} />
            {t().sidebar.contacts}
          </button>
          <button type="button" class="sidebar-place" onClick={() => openDialog({ name: "groups" })} data-testid={testids.openGroups}>
            <Icon name="people" size={16} />
            {t().sidebar.groups}
          </button>
        </div>
        <Invitations />
        {sections.value.map((section) => (
          <SectionOf key={section.name} section={section} />
        ))}
        <div class="sidebar-places">
          <button type="button" class="sidebar-place" onClick={() => openDialog({ name: "section" })} data-testid={testids.newSection}>
            <Icon name="plus" size={16} />
            {t().sidebar.newSection}
          </button>
        </div>
      </div>
      <AccountMenu />
    </nav>
  );
}

function SectionOf({ section }: { readonly section: ListSection }): JSX.Element | null {
  const { name, group, user, channels, elsewhere } = section;
  const hint = (none: string): string => (elsewhere > 0 ? t().sidebar.elsewhere : none);
  if (user !== undefined) {
    return (
      <Section name={name} title={user.name} channels={channels} empty={t().sidebar.emptySection}>
        <IconButton icon="pencil" label={t().sidebar.editSection(user.name)} onClick={() => openDialog({ name: "section", sectionID: user.id })} testid={testids.editSection} size={16} />
      </Section>
    );
  }
  if (group !== undefined) {
    return (
      <Section name={name} title={group.name} channels={channels} empty={hint(t().sidebar.noGroupChannels)}>
        <IconButton icon="people" label={t().sidebar.openGroup(group.name)} onClick={() => openDialog({ name: "groups", groupID: group.id })} testid={testids.openGroup} size={16} />
        {group.role !== "member" && (
          <IconButton icon="plus" label={t().sidebar.createIn(group.name)} onClick={() => openDialog({ name: "create-channel", groupID: group.id })} size={16} />
        )}
      </Section>
    );
  }
  switch (name) {
    case "starred":
      return channels.length === 0 ? null : <Section name={name} title={t().sidebar.starred} channels={channels} empty="" />;
    case "channels":
      return (
        <Section name={name} title={t().sidebar.channels} channels={channels} empty={hint(t().sidebar.noChannels)}>
          <IconButton icon="search" label={t().sidebar.browse} onClick={() => openDialog({ name: "browse" })} testid={testids.browseChannels} size={16} />
          <IconButton icon="link" label={t().sidebar.joinByLink} onClick={() => openDialog({ name: "join" })} testid={testids.joinChannel} size={16} />
          <IconButton icon="plus" label={t().chat.createChannel} onClick={() => openDialog({ name: "create-channel" })} testid={testids.createChannel} size={16} />
        </Section>
      );
    default:
      return (
        <Section name={name} title={t().sidebar.directMessages} channels={channels} empty={hint(t().sidebar.noDirect)}>
          <IconButton icon="plus" label={t().chat.newMessage} onClick={() => openDialog({ name: "new-direct" })} testid={testids.newDirect} size={16} />
        </Section>
      );
  }
}

interface SectionProps {
  /** The name under which the browser stores whether the section is collapsed. */
  readonly name: string;
  readonly title: string;
  readonly channels: readonly ChannelState[];
  readonly empty: string;
  readonly children?: ComponentChildren;
}

function Section({ name, title, channels, empty, children }: SectionProps): JSX.Element {
  const list = useRef<HTMLUListElement>(null);
  const collapsed = useComputed(() => collapsedSections.value.includes(name)).value;
  const shown = collapsed ? channels.filter((c) => c.unread.value > 0 || c === openState.value) : channels;
  const toggle = (): void => {
    collapsedSections.value = collapsed ? collapsedSections.value.filter((other) => other !== name) : [...collapsedSections.value, name];
  };
  return (
    <section class="sidebar-section" data-section={title}>
      <div class="section-head">
        <h2>
          <button
            type="button"
            class="section-toggle"
            aria-expanded={!collapsed}
            title={collapsed ? t().sidebar.showAll : t().sidebar.showUnread}
            onClick={toggle}
            data-testid={testids.foldSection}
          >
            <Icon name="fold" size={14} />
            <span dir="auto">{title}</span>
          </button>
        </h2>
        <div class="section-actions">{children}</div>
      </div>
      {channels.length === 0 ? (
        <p class="section-empty">{channelsLoaded.value || startedOffline.value ? empty : t().common.loading}</p>
      ) : shown.length === 0 ? (
        <p class="section-empty">{t().sidebar.noUnread}</p>
      ) : (
        <ul ref={list} class="channel-list" onKeyDown={(event) => moveFocus(event, list.current)}>
          {shown.map((state, i) => (
            <ChannelLink key={state.id} state={state} first={i === 0} section={name} />
          ))}
        </ul>
      )}
    </section>
  );
}

/**
 * moveFocus moves the focus within the list with the arrow keys. Tab leaves the list, so even 500
 * channels need only one tab stop.
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
