/**
 * A channel's details, a form in which owners and admins can change them, and the actions to leave
 * or delete it.
 */

import type { MentionAll } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { ChannelPreferencesForm } from "../components/channel-preferences";
import { Dialog } from "../components/dialog";
import { Actions, Field, FormError, useSubmission } from "../components/form";
import { t } from "../i18n";
import { dateLabel } from "../lib/dates";
import type { ChannelState } from "../state/channel-state";
import { channels, refreshDetails } from "../state/channels";
import { sdk } from "../state/client";
import { askToDelete, leaveChannel } from "../state/leave";
import { linkTo } from "../state/route";
import { copyLink } from "../state/share";
import { toast } from "../state/toasts";
import { testids } from "../testids";

export default function ChannelDialog({ channelID }: { readonly channelID: string }): JSX.Element {
  const state = channels.value.get(channelID);
  useEffect(() => {
    if (state !== undefined) {
      void refreshDetails(state);
    }
  }, [channelID]);
  const details = state?.details.value;
  return (
    <Dialog title={`#${state?.title.value ?? ""}`} footer={state !== undefined && details !== undefined && <LeaveActions state={state} />}>
      {state !== undefined && details !== undefined && (
        <>
          {!state.manages && details.description !== "" && (
            <p class="bio" dir="auto">
              {details.description}
            </p>
          )}
          <p>{t().channelDialog.kinds[details.kind]}</p>
          <p class="hint">
            {t().common.members(details.member_count)} · {t().common.createdOn(dateLabel(Date.parse(details.created_at)))} · {t().common.yourRole(t().common.roles[state.role])}
          </p>
          <div class="share">
            <code>{linkTo(channelID)}</code>
            <Button onClick={() => void copyLink(channelID)}>{t().common.copyLink}</Button>
          </div>
          {!state.manages && details.mention_all === "admins" && <p class="hint">{t().channelDialog.mentionAllAdmins}</p>}
          {state.manages && <ChangeForm key={`${details.name}/${details.description}/${details.mention_all}`} state={state} />}
          <ChannelPreferencesForm channelID={channelID} />
        </>
      )}
    </Dialog>
  );
}

function ChangeForm({ state }: { readonly state: ChannelState }): JSX.Element {
  const details = state.details.peek();
  const [name, setName] = useState(details?.name ?? "");
  const [topic, setTopic] = useState(details?.description ?? "");
  const [mentionAll, setMentionAll] = useState<MentionAll>(details?.mention_all ?? "everyone");
  const form = useSubmission(async () => {
    state.setDetails(await sdk().rest.updateChannel(state.id, { name: name.trim(), description: topic.trim(), mention_all: mentionAll }));
    toast(t().channelDialog.updated);
  });
  return (
    <form class="form" onSubmit={form.submit}>
      <Field label={t().common.name} value={name} onInput={setName} error={form.fields.get("name")} required maxLength={80} testid={testids.channelName} />
      <Field label={t().common.topic} value={topic} onInput={setTopic} error={form.fields.get("description")} maxLength={500} testid={testids.channelTopic} />
      <label class="field">
        <span>{t().channelDialog.mentionAll}</span>
        <select value={mentionAll} onChange={(e) => setMentionAll(e.currentTarget.value as MentionAll)} data-testid={testids.mentionAll}>
          <option value="everyone">{t().channelDialog.everyone}</option>
          <option value="admins">{t().channelDialog.admins}</option>
        </select>
      </label>
      <FormError message={form.message} />
      <Actions>
        <Button tone="primary" submit disabled={form.busy} testid={testids.submit}>
          {t().common.save}
        </Button>
      </Actions>
    </form>
  );
}

function LeaveActions({ state }: { readonly state: ChannelState }): JSX.Element {
  return (
    <Actions>
      {state.role === "owner" && (
        <Button tone="quiet" onClick={() => askToDelete(state)} testid={testids.deleteChannel}>
          {t().channelDialog.delete}
        </Button>
      )}
      <Button onClick={() => leaveChannel(state)} testid={testids.leaveChannel}>
        {t().channelDialog.leave}
      </Button>
    </Actions>
  );
}
