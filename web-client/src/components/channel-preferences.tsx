/**
 * The user's preferences for one channel on this device: starred, muted, the section of the channel
 * list, and the notification level.
 */

import type { JSX } from "preact";
import { useId } from "preact/hooks";

import { t } from "../i18n";
import { prefer, preferencesOf } from "../state/channel-preferences";
import { openDialog } from "../state/dialog";
import { type NotificationLevel, notificationLevel } from "../state/preferences";
import { userSectionOf } from "../state/sections";
import { testids } from "../testids";
import { Button } from "./button";

export function ChannelPreferencesForm({ channelID }: { readonly channelID: string }): JSX.Element {
  const id = useId();
  const texts = t().channelPreferences;
  const levels = t().deviceSettings;
  const { starred = false, muted = false, level } = preferencesOf(channelID);
  return (
    <section class="form">
      <h3>{texts.title}</h3>
      <label class="check">
        <input type="checkbox" checked={starred} onChange={(e) => prefer(channelID, { starred: e.currentTarget.checked })} data-testid={testids.star} />
        <span>{texts.star}</span>
      </label>
      <label class="check">
        <input type="checkbox" checked={muted} onChange={(e) => prefer(channelID, { muted: e.currentTarget.checked })} data-testid={testids.mute} />
        <span>{texts.mute}</span>
      </label>
      <div class="line">
        <span dir="auto">{texts.section(userSectionOf(channelID)?.name ?? texts.defaultSection)}</span>
        <Button onClick={() => openDialog({ name: "move-channel", channelID })} testid={testids.moveChannel}>
          {texts.move}
        </Button>
      </div>
      <div class="field">
        <label for={id}>{texts.notify}</label>
        <select
          id={id}
          value={level ?? ""}
          disabled={muted}
          onChange={(e) => prefer(channelID, { level: e.currentTarget.value === "" ? undefined : (e.currentTarget.value as NotificationLevel) })}
          data-testid={testids.notificationLevel}
        >
          <option value="">{texts.defaultLevel}</option>
          <option value="all">{levels.all}</option>
          <option value="mentions">{levels.mentions}</option>
          <option value="none">{levels.none}</option>
        </select>
        <p class="hint">
          {muted ? texts.mutedLevel : texts.default[notificationLevel.value]} {texts.device}
        </p>
      </div>
    </section>
  );
}
