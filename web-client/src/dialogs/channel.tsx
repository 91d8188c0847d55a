/** What a channel is; for those who may, to change it; and the way out. */

import type { MentionAll } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Field, FormError, useSubmission } from "../components/form";
import { dateLabel } from "../lib/dates";
import type { ChannelState } from "../state/channel-state";
import { channels, refreshDetails } from "../state/channels";
import { sdk } from "../state/client";
import { closeDialog } from "../state/dialog";
import { quit } from "../state/lifecycle";
import { linkTo, navigate } from "../state/route";
import { copyLink } from "../state/share";
import { attempt, toast } from "../state/toasts";
import { testids } from "../testids";

const kinds: Record<string, string> = {
  public: "Public: everybody can find it and join.",
  unlisted: "Unlisted: whoever has the link can join.",
  private: "Private: only those who were added can see it.",
};

export default function ChannelDialog({ channelID }: { readonly channelID: string }): JSX.Element {
  const state = channels.value.get(channelID);
  useEffect(() => {
    if (state !== undefined) {
      void refreshDetails(state);
    }
  }, [channelID]);
  const details = state?.details.value;
  return (
    <Dialog title={`#${state?.title.value ?? ""}`}>
      {state !== undefined && details !== undefined && (
        <>
          <p>{kinds[details.kind] ?? ""}</p>
          <p class="hint">
            {details.member_count} {details.member_count === 1 ? "member" : "members"} · created {dateLabel(Date.parse(details.created_at))} · you are {state.role}
          </p>
          <div class="share">
            <code>{linkTo(channelID)}</code>
            <Button onClick={() => void copyLink(channelID)}>Copy link</Button>
          </div>
          {!state.manages && details.mention_all === "admins" && <p class="hint">Only owners and admins may call all members with @channel.</p>}
          {state.manages && <ChangeForm key={`${details.name}/${details.description}/${details.mention_all}`} state={state} />}
          <Leaving state={state} />
        </>
      )}
    </Dialog>
  );
}

function ChangeForm({ state }: { readonly state: ChannelState }): JSX.Element {
  const details = state.details.peek();
  const [name, setName] = useState(details?.name ?? "");
  const [topic, setTopic] = useState(details?.description ?? "");
  const [callers, setCallers] = useState<MentionAll>(details?.mention_all ?? "everyone");
  const form = useSubmission(async () => {
    state.setDetails(await sdk().rest.updateChannel(state.id, { name: name.trim(), description: topic.trim(), mention_all: callers }));
    toast("The channel is changed.");
  });
  return (
    <form class="form" onSubmit={form.submit}>
      <Field label="Name" value={name} onInput={setName} error={form.fields.get("name")} required maxLength={80} testid={testids.channelName} />
      <Field label="Topic" value={topic} onInput={setTopic} error={form.fields.get("description")} maxLength={500} testid={testids.channelTopic} />
      <label class="field">
        <span>Who may call all members with @channel</span>
        <select value={callers} onChange={(e) => setCallers(e.currentTarget.value as MentionAll)} data-testid={testids.mentionAll}>
          <option value="everyone">everyone</option>
          <option value="admins">owners and admins</option>
        </select>
      </label>
      <FormError message={form.message} />
      <Actions>
        <Button tone="primary" submit disabled={form.busy} testid={testids.submit}>
          Save
        </Button>
      </Actions>
    </form>
  );
}

function Leaving({ state }: { readonly state: ChannelState }): JSX.Element {
  const [sure, setSure] = useState(false);
  const go = async (work: () => Promise<unknown>): Promise<void> => {
    const done = await attempt(async () => {
      await quit(state.id, work);
      return true;
    });
    if (done === true) {
      closeDialog();
      navigate({ name: "home" });
    }
  };
  return (
    <section>
      <h3>Leaving</h3>
      <Actions>
        {state.role === "owner" &&
          (sure ? (
            <Button tone="danger" onClick={() => void go(() => sdk().rest.deleteChannel(state.id))} testid={testids.confirmDelete}>
              Delete it for everybody
            </Button>
          ) : (
            <Button tone="quiet" onClick={() => setSure(true)} testid={testids.deleteChannel}>
              Delete the channel…
            </Button>
          ))}
        <Button onClick={() => void go(() => sdk().rest.leaveChannel(state.id))} testid={testids.leaveChannel}>
          Leave the channel
        </Button>
      </Actions>
    </section>
  );
}
