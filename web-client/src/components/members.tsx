/** The members of a channel, shown next to the messages or, on a phone, instead of them. */

import type { Member, Role } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { t } from "../i18n";
import { type ChannelState, MAX_MEMBERS } from "../state/channel-state";
import { loadMembers } from "../state/channels";
import { sdk } from "../state/client";
import { connection } from "../state/connection";
import { openDialog } from "../state/dialog";
import { showMembers } from "../state/members-pane";
import { nameOf, person } from "../state/people";
import { toggleFrom } from "../state/popover";
import { myID } from "../state/me";
import { attempt, showError } from "../state/toasts";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { Button, IconButton } from "./button";
import { useKeptFocus } from "./kept-focus";
import { Outsiders } from "./outsiders";

const rank: Record<Role, number> = { owner: 0, admin: 1, member: 2 };
/**
 * PAGE_SIZE is the number of members shown initially, and the number that each "Show more" adds.
 */
const PAGE_SIZE = 200;

export function Members({ state }: { readonly state: ChannelState }): JSX.Element {
  const [shown, setShown] = useState(PAGE_SIZE);
  const [filter, setFilter] = useState("");
  const failed = useMembers(state);
  const members = state.members.value;
  const online = state.online.value.users;
  const found = sorted(members ?? [], online).filter((m) => filter === "" || `${m.username} ${m.display_name}`.toLowerCase().includes(filter.toLowerCase()));
  const area = useRef<HTMLElement>(null);
  useKeptFocus(area);
  return (
    <aside ref={area} class="members" aria-label={t().members.title} data-testid={testids.members}>
      <header class="members-head">
        <h2>{t().members.title}</h2>
        {state.manages && <IconButton icon="plus" label={t().common.addPeople} onClick={() => openDialog({ name: "add-member", channelID: state.id })} testid={testids.addMember} />}
        <IconButton
          icon="close"
          label={t().members.close}
          onClick={() => showMembers(false)}
          testid={testids.closeMembers}
        />
      </header>
      {(members?.length ?? 0) > 12 && (
        <input class="members-filter" type="search" placeholder={t().members.find} aria-label={t().members.find} value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
      )}
      {members === undefined && (
        <p class="section-empty" data-testid={failed ? testids.membersMissing : undefined}>
          {failed ? t().members.notLoaded : t().common.loading}
        </p>
      )}
      <ul class="members-list" tabIndex={0} aria-label={t().members.ofChannel}>
        {found.slice(0, shown).map((m) => (
          <MemberRow key={m.user_id} state={state} member={m} online={online.has(m.user_id)} />
        ))}
      </ul>
      {found.length > shown && <Button onClick={() => setShown(shown + PAGE_SIZE)}>{t().common.showMore}</Button>}
      {(members?.length ?? 0) >= MAX_MEMBERS && <p class="section-empty">{t().members.firstOnly(MAX_MEMBERS)}</p>}
      {state.manages && <Outsiders key={state.id} state={state} />}
    </aside>
  );
}

/**
 * useMembers loads the members when the pane opens, and again after each reconnection. It reports
 * whether the last attempt failed.
 */
function useMembers(state: ChannelState): boolean {
  const [failed, setFailed] = useState(false);
  const live = connection.value.name === "up-to-date";
  useEffect(() => {
    if (!live && state.members.peek() !== undefined) {
      return undefined;
    }
    let current = true;
    const settle = (error?: unknown): void => {
      if (current) {
        setFailed(error !== undefined);
        // While the page is disconnected, the pane itself shows that the members could not be
        // loaded.
        if (error !== undefined && live) {
          showError(error);
        }
      }
    };
    loadMembers(state).then(() => settle(), settle);
    return () => {
      current = false;
    };
  }, [state, live]);
  return failed;
}

/** sorted orders members by online status, then role, then name. */
function sorted(members: readonly Member[], online: ReadonlySet<string>): readonly Member[] {
  const here = (m: Member): number => (online.has(m.user_id) ? 0 : 1);
  return [...members].sort((a, b) => here(a) - here(b) || rank[a.role] - rank[b.role] || a.username.localeCompare(b.username));
}

interface MemberRowProps {
  readonly state: ChannelState;
  readonly member: Member;
  readonly online: boolean;
}

function MemberRow({ state, member, online }: MemberRowProps): JSX.Element {
  const name = nameOf(person(member.user_id).value, member.username);
  const own = member.user_id === myID();
  const mayRemove = !own && (state.role === "owner" || (state.role === "admin" && member.role === "member"));
  const setRole = async (role: Role): Promise<void> => {
    await attempt(() => sdk().rest.updateMember(state.id, member.user_id, { role }));
    await attempt(() => loadMembers(state));
  };
  return (
    <li class="member" data-testid={testids.member} data-user-id={member.user_id} data-online={online ? "" : undefined}>
      <button type="button" class="member-who" aria-haspopup="dialog" onClick={(event) => toggleFrom(event, { name: "person", userID: member.user_id })}>
        <Avatar userID={member.user_id} name={member.username} size="small" online={online} />
        <span class="member-names">
          <span class="member-name" dir="auto">
            {name}
            {own ? ` ${t().members.you}` : ""}
            <span class="visually-hidden">, {online ? t().members.online : t().members.offline}</span>
          </span>
          <span class="member-username">@{member.username}</span>
        </span>
      </button>
      {state.role === "owner" ? (
        <select
          class="role-select"
          aria-label={t().common.roleOf(name)}
          value={member.role}
          onChange={(e) => void setRole(e.currentTarget.value as Role)}
          data-testid={testids.memberRole}
        >
          <option value="owner">{t().common.roles.owner}</option>
          <option value="admin">{t().common.roles.admin}</option>
          <option value="member">{t().common.roles.member}</option>
        </select>
      ) : (
        member.role !== "member" && <span class="role">{t().common.roles[member.role]}</span>
      )}
      {mayRemove && <IconButton icon="close" label={t().common.removePerson(name)} onClick={() => openDialog({ name: "remove-member", channelID: state.id, userID: member.user_id, username: member.username })} testid={testids.removeMember} size={16} />}
    </li>
  );
}
