/** One group: its channels and members. */

import { allPages, type ChannelDetails, type Group, type Member, type Role } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button, IconButton } from "../components/button";
import { PersonLine, UserSearch } from "../components/user-search";
import { addChannel, channels, groupsVersion } from "../state/channels";
import { sdk } from "../state/client";
import { closeDialog, openDialog } from "../state/dialog";
import { learnMember } from "../state/people";
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
  const leave = async (): Promise<void> => {
    const left = await attempt(async () => {
      await sdk().rest.removeGroupMember(group.id, myID());
      return true;
    });
    if (left === true) {
      onBack();
    }
  };
  const known = new Set(members.map((m) => m.user_id));
  return (
    <>
      {group.description !== "" && <p>{group.description}</p>}
      <GroupChannels group={group} manages={manages} />
      <h3>Members</h3>
      <ul class="results">
        {members.map((m) => (
          <GroupMember key={m.user_id} group={group} member={m} change={change} />
        ))}
      </ul>
      {adding && (
        <UserSearch label="Add people">
          {(user) =>
            known.has(user.id) ? (
              <span class="role">Already added</span>
            ) : (
              <Button onClick={() => change(() => sdk().rest.addGroupMember(group.id, { user_id: user.id }))}>
                Add<span class="visually-hidden"> {user.username}</span>
              </Button>
            )
          }
        </UserSearch>
      )}
      <div class="actions">
        <Button onClick={onBack}>All groups</Button>
        <Button tone="quiet" onClick={() => void leave()}>
          Leave group
        </Button>
        {manages && !adding && <Button onClick={() => setAdding(true)}>Add people</Button>}
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
      <h3>Channels</h3>
      {list.length === 0 && <p class="section-empty">No channels yet.</p>}
      <ul class="results">
        {list.map((c) => (
          <li key={c.id} class="result">
            <span class="member-name">#{c.name}</span>
            <span class="result-actions">
              <Button onClick={() => void open(c)}>
                {channels.value.has(c.id) ? "Open" : "Join"}
                <span class="visually-hidden"> {c.name}</span>
              </Button>
            </span>
          </li>
        ))}
      </ul>
      {manages && <Button onClick={() => openDialog({ name: "create-channel", groupID: group.id })}>Create a channel in this group</Button>}
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
  return (
    <li class="result">
      <PersonLine userID={member.user_id} username={member.username} />
      <span class="result-actions">
        {group.role === "owner" ? (
          <select
            class="role-select"
            aria-label={`Role of ${member.username}`}
            value={member.role}
            onChange={(e) => {
              const role = e.currentTarget.value as Role;
              change(() => sdk().rest.updateGroupMember(group.id, member.user_id, { role }));
            }}
          >
            <option value="owner">Owner</option>
            <option value="admin">Admin</option>
            <option value="member">Member</option>
          </select>
        ) : (
          <span class="role">{member.role}</span>
        )}
        {!own && (group.role === "owner" || (group.role === "admin" && member.role === "member")) && (
          <IconButton icon="close" label={`Remove ${member.username}`} onClick={() => change(() => sdk().rest.removeGroupMember(group.id, member.user_id))} size={16} />
        )}
      </span>
    </li>
  );
}
