/**
 * The lists below a channel's members: invited users and banned users. Only owners and admins see
 * them.
 */

import type { Ban, Invitation, Page, Paging } from "@parley/client";
import type { ComponentChildren, JSX } from "preact";

import { t } from "../i18n";
import type { ChannelState } from "../state/channel-state";
import { sdk } from "../state/client";
import { openDialog } from "../state/dialog";
import { liftBan, withdrawInvitation } from "../state/outsiders";
import { learn, learnMember, nameOf, person } from "../state/people";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { Button } from "./button";
import { Once } from "./once";
import { type Pages, usePages } from "./pages";

export function Outsiders({ state }: { readonly state: ChannelState }): JSX.Element {
  const version = state.outsidersVersion.value;
  const invitations = usePages((at) => listInvitations(state.id, at), [state, version]);
  const bans = usePages((at) => listBans(state.id, at), [state, version]);
  return (
    <div class="outsiders">
      <Section title={t().members.invited} pages={invitations} open testid={testids.invited}>
        {invitations.items.map((invitation) => (
          <InvitedRow key={invitation.id} state={state} invitation={invitation} />
        ))}
      </Section>
      <Section title={t().members.banned} pages={bans} testid={testids.banned}>
        {bans.items.map((ban) => (
          <BannedRow key={ban.user_id + ban.banned_at} state={state} ban={ban} />
        ))}
      </Section>
    </div>
  );
}

async function listInvitations(channelID: string, at: Paging): Promise<Page<Invitation>> {
  const page = await sdk().rest.listChannelInvitations(channelID, at);
  page.items.forEach(({ user_id, username }) => learn(user_id, { username }));
  return page;
}

async function listBans(channelID: string, at: Paging): Promise<Page<Ban>> {
  const page = await sdk().rest.listBans(channelID, at);
  page.items.forEach(learnMember);
  return page;
}

interface SectionProps {
  readonly title: string;
  readonly pages: Pages<unknown>;
  readonly children: ComponentChildren;
  readonly open?: boolean;
  readonly testid: string;
}

function Section({ title, pages, children, open = false, testid }: SectionProps): JSX.Element | null {
  const count = pages.items.length;
  if (count === 0) {
    return null;
  }
  return (
    <details class="outsiders-section" open={open} data-testid={testid}>
      <summary>
        {title} <span class="outsiders-count">{pages.more === undefined ? count : `${count}+`}</span>
      </summary>
      <ul>{children}</ul>
      {pages.more !== undefined && <Button onClick={pages.more}>{t().common.showMore}</Button>}
    </details>
  );
}

function InvitedRow({ state, invitation }: { readonly state: ChannelState; readonly invitation: Invitation }): JSX.Element {
  const { user_id: userID, username } = invitation;
  const name = nameOf(person(userID).value, username);
  return (
    <Row userID={userID} username={username} name={name} about={t().sidebar.invitedBy(invitation.invited_by_name)}>
      <Once done={t().members.canceled} act={() => withdrawInvitation(state, invitation, name)} label={t().members.cancelInvitationOf(name)} testid={testids.cancelInvitation}>
        {t().members.cancelInvitation}
      </Once>
    </Row>
  );
}

function BannedRow({ state, ban }: { readonly state: ChannelState; readonly ban: Ban }): JSX.Element {
  const name = nameOf(person(ban.user_id).value, ban.username);
  return (
    <Row userID={ban.user_id} username={ban.username} name={name} about={`@${ban.username}`}>
      <Once done={t().members.lifted} act={() => liftBan(state, ban.user_id, name)} label={t().members.liftBanOf(name)} testid={testids.liftBan}>
        {t().members.liftBan}
      </Once>
    </Row>
  );
}

interface RowProps {
  readonly userID: string;
  readonly username: string;
  readonly name: string;
  /** The text below the name. */
  readonly about: string;
  readonly children: ComponentChildren;
}

function Row({ userID, username, name, about, children }: RowProps): JSX.Element {
  return (
    <li class="outsider" data-user-id={userID}>
      <button type="button" class="member-who" onClick={() => openDialog({ name: "person", userID })}>
        <Avatar userID={userID} name={username} size="small" />
        <span class="member-names">
          <span class="member-name" dir="auto">
            {name}
          </span>
          <span class="member-username">{about}</span>
        </span>
      </button>
      {children}
    </li>
  );
}
