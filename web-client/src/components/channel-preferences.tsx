/**
 * The user's preferences for one channel on this device: starred, muted, and the notification level.
 */

import type { JSX } from "preact";
import { useId } from "preact/hooks";

import { t } from "../i18n";
import { prefer, preferencesOf } from "../state/channel-preferences";
import { type NotificationLevel, notificationLevel } from "../state/preferences";
import { testids } from "../testids";

export function ChannelPreferencesForm({ channelID }: { readonly channelID: string }): JSX.Element {
  const id = useId();
  const texts = t().channelPreferences;
  const levels = t().deviceSettings;
  const { starred = false, muted = false, level } = preferencesOf(channelID);
  return (
    <section class="form">
      <h3>{texts.title}</h3>
      <label class="check">
        <input type="checkbox" checked={starred} onChange={(e) => prefer(channelID, { starred: e.currentTarget.checked })} data-testid={testids.star} /> {texts.star}
      </label>
      <label class="check">
        <input type="checkbox" checked={muted} onChange={(e) => prefer(channelID, { muted: e.currentTarget.checked })} data-testid={testids.mute} /> {texts.mute}
      </label>
      <div class="field">
        <label for={id}>{texts.notify}</label>
        <select
          id={id}
          value={level ?? ""}
          disabled={muted}
          onChange={(e) => prefer(channelID, { level: e.currentTarget.value === "" ? undefined : (e.currentTarget.value as NotificationLevel) })}
          data-testid={testids.notificationLevel}
        >
          <option value="">{texts.default(levels[notificationLevel.value])}</option>
          <option value="all">{levels.all}</option>
          <option value="mentions">{levels.mentions}</option>
          <option value="none">{levels.none}</option>
        </select>
        <p class="hint">{texts.device}</p>
      </div>
    </section>
  );
}
