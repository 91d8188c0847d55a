/** The user's groups. A group has members and channels of its own. */

import { allPages, type Group } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Field, FormError, useSubmission } from "../components/form";
import { t } from "../i18n";
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
    <Dialog title={t().groups.title}>
      <p class="hint">{t().groups.about}</p>
      {groups?.length === 0 && <p class="section-empty">{t().groups.none}</p>}
      <ul class="results">
        {groups?.map((g) => (
          <li key={g.id} class="result">
            <span class="member-names">
              <span class="member-name">{g.name}</span>
              <span class="member-username">
                {t().common.members(g.member_count)} · {t().common.yourRole(t().common.roles[g.role])}
              </span>
            </span>
            <span class="result-actions">
              <Button onClick={() => setOpen(g.id)} label={t().common.openChannel(g.name)}>
                {t().common.open}
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
      <h3>{t().groups.new}</h3>
      <Field label={t().common.name} value={name} onInput={setName} error={form.fields.get("name")} maxLength={80} required />
      <FormError message={form.message} />
      <Actions>
        <Button tone="primary" submit disabled={form.busy || name.trim() === ""}>
          {t().groups.create}
        </Button>
      </Actions>
    </form>
  );
}
