/** The user's groups. A group has members and channels of its own. */

import type { Group } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Field, FormError, useSubmission } from "../components/form";
import { t } from "../i18n";
import { sdk } from "../state/client";
import { groups, loadGroups } from "../state/groups";
import { showError } from "../state/toasts";
import { GroupView } from "./group-view";

export default function Groups({ groupID }: { readonly groupID: string | undefined }): JSX.Element {
  const [open, setOpen] = useState(groupID);
  const read = (): Promise<void> => loadGroups().catch(showError);
  useEffect(() => void read(), []);
  const group = groups.value?.find((g) => g.id === open);
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
      {groups.value?.length === 0 && <p class="section-empty">{t().groups.none}</p>}
      <ul class="results">
        {groups.value?.map((g) => (
          <li key={g.id} class="result">
            <span class="member-names">
              <span class="member-name" dir="auto">{g.name}</span>
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
          groups.value = [...(groups.value ?? []), made];
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
