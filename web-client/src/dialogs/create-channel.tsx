/** Creates a channel, optionally in a group. */

import type { ChannelKind, Group } from "@parley/client";
import { allPages } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useId, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Choice, Field, FormError, useSubmission } from "../components/form";
import { t } from "../i18n";
import { addChannel } from "../state/channels";
import { sdk } from "../state/client";
import { closeDialog } from "../state/dialog";
import { openChannel } from "../state/route";
import { testids } from "../testids";

type NewChannelKind = Exclude<ChannelKind, "direct">;

const kinds = (): readonly { readonly value: NewChannelKind; readonly label: string; readonly hint: string }[] => {
  const texts = t().createChannel;
  return [
    { value: "public", label: texts.public, hint: texts.publicHint },
    { value: "unlisted", label: texts.unlisted, hint: texts.unlistedHint },
    { value: "private", label: texts.private, hint: texts.privateHint },
  ];
};

interface CreateChannelProps {
  /** The preselected group. */
  readonly groupID: string | undefined;
  /** The suggested name. */
  readonly channelName: string | undefined;
}

export default function CreateChannel({ groupID, channelName = "" }: CreateChannelProps): JSX.Element {
  const [name, setName] = useState(channelName);
  const [topic, setTopic] = useState("");
  const [kind, setKind] = useState<NewChannelKind>("public");
  const [group, setGroup] = useState(groupID ?? "");
  const form = useSubmission(async () => {
    const made = await sdk().rest.createChannel({ name: name.trim(), kind, description: topic.trim(), ...(group === "" ? {} : { group_id: group }) });
    addChannel(made);
    closeDialog();
    openChannel(made.id);
  });
  return (
    <Dialog title={t().createChannel.title}>
      <form class="form" onSubmit={form.submit}>
        <Field label={t().common.name} value={name} onInput={setName} error={form.fields.get("name")} required maxLength={80} autofocus testid={testids.channelName} />
        <Field label={t().createChannel.topic} value={topic} onInput={setTopic} error={form.fields.get("description")} maxLength={500} testid={testids.channelTopic} />
        <Choice legend={t().createChannel.whoCanJoin} value={kind} options={kinds()} onChange={setKind} testid={testids.channelKind} />
        <GroupChoice value={group} onChange={setGroup} />
        <FormError message={form.message} />
        <Actions>
          <Button onClick={closeDialog}>{t().common.cancel}</Button>
          <Button tone="primary" submit disabled={form.busy || name.trim() === ""} testid={testids.submit}>
            {form.busy ? t().createChannel.creating : t().createChannel.create}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}

/**
 * GroupChoice selects one of the groups in which the user may create channels. It is hidden if
 * there are none.
 */
function GroupChoice({ value, onChange }: { readonly value: string; readonly onChange: (group: string) => void }): JSX.Element | null {
  const id = useId();
  const [groups, setGroups] = useState<readonly Group[]>([]);
  useEffect(() => {
    // If the groups cannot be loaded, the selector stays hidden and the channel is created in the
    // preselected group, if any.
    allPages((at) => sdk().rest.listGroups({ limit: 200, ...at })).then(
      (all) => setGroups(all.filter((g) => g.role !== "member")),
      () => undefined,
    );
  }, []);
  if (groups.length === 0) {
    return null;
  }
  return (
    <div class="field">
      <label for={id}>{t().createChannel.group}</label>
      <select id={id} value={value} onChange={(e) => onChange(e.currentTarget.value)}>
        <option value="">{t().createChannel.noGroup}</option>
        {groups.map((g) => (
          <option key={g.id} value={g.id}>
            {g.name}
          </option>
        ))}
      </select>
    </div>
  );
}
