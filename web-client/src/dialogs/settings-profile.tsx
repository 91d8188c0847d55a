/** The user's profile, as other users see it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Avatar } from "../components/avatar";
import { Button } from "../components/button";
import { Actions, Field, FormError, useSubmission } from "../components/form";
import { t } from "../i18n";
import { sdk } from "../state/client";
import { me } from "../state/me";
import { setMe } from "../state/session";
import { toast } from "../state/toasts";
import { testids } from "../testids";

export function ProfileSettings(): JSX.Element {
  const was = me();
  const [name, setName] = useState(was?.display_name ?? "");
  const [bio, setBio] = useState(was?.bio ?? "");
  const [picture, setPicture] = useState("");
  const [removed, setRemoved] = useState(false);
  const form = useSubmission(async () => {
    const change = picture.trim() !== "" ? { avatar_url: picture.trim() } : removed ? { avatar_url: "" } : {};
    setMe(await sdk().rest.updateMe({ display_name: name.trim(), bio: bio.trim(), ...change }));
    setPicture("");
    setRemoved(false);
    toast(t().profile.saved);
  });
  return (
    <form class="form" onSubmit={form.submit}>
      <div class="profile">
        <Avatar userID={was?.id ?? ""} size="large" />
        <div>
          <p class="member-name">@{was?.username}</p>
          <p class="hint">{was?.email}</p>
        </div>
      </div>
      <Field label={t().profile.displayName} value={name} onInput={setName} hint={t().profile.displayNameHint} error={form.fields.get("display_name")} maxLength={80} autocomplete="name" testid={testids.displayName} />
      <Field label={t().profile.about} value={bio} onInput={setBio} error={form.fields.get("bio")} maxLength={500} rows={3} />
      <Field
        label={t().profile.picture}
        type="url"
        value={picture}
        onInput={setPicture}
        hint={t().profile.pictureHint}
        error={form.fields.get("avatar_url")}
        maxLength={500}
      />
      {was?.avatar_url !== "" && (
        <label class="check">
          <input type="checkbox" checked={removed} onChange={(e) => setRemoved(e.currentTarget.checked)} />
          <span>{t().profile.removePicture}</span>
        </label>
      )}
      <FormError message={form.fields.size > 0 ? "" : form.message} />
      <Actions>
        <Button tone="primary" submit disabled={form.busy} testid={testids.submit}>
          {t().profile.save}
        </Button>
      </Actions>
    </form>
  );
}
