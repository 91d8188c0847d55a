/** The user's groups. A group has members and channels of its own. */

import { allPages, type Group } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Field, FormError, useSubmission } from "../components/form";
import { groupsVersion } from "../state/channels";
import { sdk } from "../state/client";
import { showError } from "../state/toasts";
import { GroupView } from "./group-view";

export default function Groups(): JSX.Element {
  const [groups, setGroups] = useState<readonly Group[] | undefined>(undefined);
  const [open, setOpen] = useState<string | undefined>(undefined);
  const version = groupsVersion.value;
  const read = (): Promise<void> => allPages((at) => sdk().rest.listGroups({ limit: 200, ...at })).then(setGroups, showError);
  useEffect(() => void read(), [version]);
  const group = groups?.find((g) => g.id === open);
  if (group !== undefined) {
    return (
      <Dialog title={group.name}>
        <GroupView
          key={group.id}
          group={group}
          onBack={() => {
            setOpen(undefined);
            void read();
          }}
        />
      </Dialog>
    );
  }
  return (
    <Dialog title="Groups">
      <p class="hint">A group has members and channels. Its members can join its channels.</p>
      {groups?.length === 0 && <p class="section-empty">You haven't joined any groups.</p>}
      <ul class="results">
        {groups?.map((g) => (
          <li key={g.id} class="result">
            <span class="member-names">
              <span class="member-name">{g.name}</span>
              <span class="member-username">
                {g.member_count} {g.member_count === 1 ? "member" : "members"} · your role: {g.role}
              </span>
            </span>
            <span class="result-actions">
              <Button onClick={() => setOpen(g.id)}>
                Open<span class="visually-hidden"> {g.name}</span>
              </Button>
            </span>
          </li>
        ))}
      </ul>
      <NewGroup
        onMade={(made) => {
          setGroups([...(groups ?? []), made]);
          setOpen(made.id);
        }}
      />
    </Dialog>
  );
}

function NewGroup({ onMade }: { readonly onMade: (group: Group) => void }): JSX.Element {
  const [name, setName] = useState("");
  const form = useSubmission(async () => onMade(await sdk().rest.createGroup({ name: name.trim() })));
  return (
    <form class="form" onSubmit={form.submit}>
      <h3>New group</h3>
      <Field label="Name" value={name} onInput={setName} error={form.fields.get("name")} maxLength={80} required />
      <FormError message={form.message} />
      <Actions>
        <Button tone="primary" submit disabled={form.busy || name.trim() === ""}>
          Create group
        </Button>
      </Actions>
    </form>
  );
}
