/** Settings for this device: language, theme and notifications. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Choice } from "../components/form";
import { type Language, type LanguageChoice, languages, t } from "../i18n";
import { openDialog } from "../state/dialog";
import { requestPermission, permission } from "../state/notifications";
import { language, notificationLevel, theme } from "../state/preferences";
import { testids } from "../testids";

export function AppearanceSettings(): JSX.Element {
  return (
    <div class="form">
      <LanguageChoiceField />
      <Choice
        legend={t().deviceSettings.theme}
        value={theme.value}
        options={[
          { value: "system", label: t().deviceSettings.system },
          { value: "light", label: t().deviceSettings.light },
          { value: "dark", label: t().deviceSettings.dark },
        ]}
        onChange={(value) => {
          theme.value = value;
        }}
        testid={testids.theme}
      />
      <Choice
        legend={t().deviceSettings.notify}
        value={notificationLevel.value}
        options={[
          { value: "all", label: t().deviceSettings.all },
          { value: "mentions", label: t().deviceSettings.mentions },
          { value: "none", label: t().deviceSettings.none },
        ]}
        onChange={(value) => {
          notificationLevel.value = value;
        }}
      />
      <Permission />
      <Button onClick={() => openDialog({ name: "shortcuts" })}>{t().deviceSettings.shortcuts}</Button>
    </div>
  );
}

function LanguageChoiceField(): JSX.Element {
  const options: { value: LanguageChoice; label: string }[] = [
    { value: "browser", label: t().deviceSettings.browserLanguage },
    ...Object.entries(languages).map(([value, label]) => ({ value: value as Language, label })),
  ];
  const choose = (value: LanguageChoice): void => {
    language.value = value; // main.tsx loads it
  };
  return <Choice legend={t().deviceSettings.language} value={language.value} options={options} onChange={choose} testid={testids.language} />;
}

function Permission(): JSX.Element {
  switch (permission.value) {
    case "granted":
      return <p class="hint">{t().deviceSettings.allowed}</p>;
    case "denied":
      return <p class="hint">{t().deviceSettings.blocked}</p>;
    case "unsupported":
      return <p class="hint">{t().deviceSettings.unsupported}</p>;
    case "default":
      return (
        <Button onClick={() => void requestPermission()} testid={testids.allowNotifications}>
          {t().deviceSettings.allow}
        </Button>
      );
  }
}
