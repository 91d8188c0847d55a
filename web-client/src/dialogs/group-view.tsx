/** One group: its channels and members. */

import { allPages, type ChannelDetails, type Group, type Member, type Role } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button, IconButton } from "../components/button";
import { PersonLine, UserSearch } from "../components/user-search";
import { t } from "../i18n";
import { addChannel, channels, groupsVersion } from "../state/channels";
import { sdk } from "../state/client";
import { ask, closeDialog, openDialog } from "../state/dialog";
import { learnMember, nameOf, person } from "../state/people";
import { openChannel } from "../state/route";
import { myID } from "../state/me";
import { attempt, showError } from "../state/toasts";

interface GroupViewProps {
  readonly group: Group;
  readonly onBack: () => void;
}

export function GroupView({ group, onBack }: GroupViewProps): JSX.Element {
  const [members, setMembers] = useState<readonly Member[]>([]);
  const [adding, setAdding] = useState(false);
  const version = groupsVersion.value;
  const read = async (): Promise<void> => {
    const all = await allPages((at) => sdk().rest.listGroupMembers(group.id, { limit: 200, ...at }));
    all.forEach(learnMember);
    setMembers(all);
  };
  useEffect(() => {
    read().catch(showError);
  }, [group.id, version]);
  const change = (work: () => Promise<unknown>): void => {
    void attempt(async () => {
      await work();
      await read();
    });
  };
  const manages = group.role !== "member";
  const leave = (): void =>
    ask({
      title: t().groups.leaveTitle(group.name),
      text: members.length > 1 ? t().groups.leaveText : t().groups.leaveLastText,
      action: t().groups.leave,
      work: async () => {
        await sdk().rest.removeGroupMember(group.id, myID());
        onBack();
      },
    });
  const known = new Set(members.map((m) => m.user_id));
  return (
    <>
      {group.description !== "" && <p dir="auto">{group.description}</p>}
      <GroupChannels group={group} manages={manages} />
      <h3>{t().groups.members}</h3>
      <ul class="results">
        {members.map((m) => (
          <GroupMember key={m.user_id} group={group} member={m} change={change} />
        ))}
      </ul>
      {adding && (
        <UserSearch label={t().common.addPeople}>
          {(user) =>
            known.has(user.id) ? (
              <span class="role">{t().common.alreadyAdded}</span>
            ) : (
              <Button onClick={() => change(() => sdk().rest.addGroupMember(group.id, { user_id: user.id }))} label={t().common.addPerson(user.username)}>
                {t().common.add}
              </Button>
            )
          }
        </UserSearch>
      )}
      <div class="actions">
        <Button onClick={onBack}>{t().groups.all}</Button>
        <Button tone="quiet" onClick={leave}>
          {t().groups.leave}
        </Button>
        {manages && !adding && <Button onClick={() => setAdding(true)}>{t().common.addPeople}</Button>}
      </div>
    </>
  );
}

function GroupChannels({ group, manages }: { readonly group: Group; readonly manages: boolean }): JSX.Element {
  const [list, setList] = useState<readonly ChannelDetails[]>([]);
  useEffect(() => {
    allPages((at) => sdk().rest.listGroupChannels(group.id, { limit: 200, ...at })).then(setList, showError);
  }, [group.id]);
  const open = async (channel: ChannelDetails): Promise<void> => {
    const joined = channels.value.has(channel.id);
    const details = joined ? channel : await attempt(() => sdk().rest.joinChannel(channel.id));
    if (details !== undefined) {
      if (!joined) {
        addChannel(details);
      }
      closeDialog();
      openChannel(channel.id);
    }
  };
  return (
    <>
      <h3>{t().groups.channels}</h3>
      {list.length === 0 && <p class="section-empty">{t().groups.noChannels}</p>}
      <ul class="results">
        {list.map((c) => (
          <li key={c.id} class="result">
            <span class="member-name" dir="auto">#{c.name}</span>
            <span class="result-actions">
              <Button onClick={() => void open(c)} label={channels.value.has(c.id) ? t().common.openChannel(c.name) : t().common.joinChannel(c.name)}>
                {channels.value.has(c.id) ? t().common.open : t().common.join}
              </Button>
            </span>
          </li>
        ))}
      </ul>
      {manages && <Button onClick={() => openDialog({ name: "create-channel", groupID: group.id })}>{t().groups.createChannel}</Button>}
    </>
  );
}

interface GroupMemberProps {
  readonly group: Group;
  readonly member: Member;
  readonly change: (work: () => Promise<unknown>) => void;
}

function GroupMember({ group, member, change }: GroupMemberProps): JSX.Element {
  const own = member.user_id === myID();
  const remove = (): void =>
    ask({
      title: t().groups.removeTitle(nameOf(person(member.user_id).peek(), member.username), group.name),
      text: t().groups.removeText(member.username),
      action: t().common.remove,
      work: async () => {
        await sdk().rest.removeGroupMember(group.id, member.user_id);
        change(() => Promise.resolve());
      },
    });
  return (
    <li class="result">
      <PersonLine userID={member.user_id} username={member.username} />
      <span class="result-actions">
        {group.role === "owner" ? (
          <select
            class="role-select"
            aria-label={t().common.roleOf(member.username)}
            value={member.role}
            onChange={(e) => {
              const role = e.currentTarget.value as Role;
              change(() => sdk().rest.updateGroupMember(group.id, member.user_id, { role }));
            }}
          >
            <option value="owner">{t().common.roles.owner}</option>
            <option value="admin">{t().common.roles.admin}</option>
            <option value="member">{t().common.roles.member}</option>
          </select>
        ) : (
          <span class="role">{t().common.roles[member.role]}</span>
        )}
        {!own && (group.role === "owner" || (group.role === "admin" && member.role === "member")) && (
          <IconButton icon="close" label={t().common.removePerson(member.username)} onClick={remove} size={16} />
        )}
      </span>
    </li>
  );
}
