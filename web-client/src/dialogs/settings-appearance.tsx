/** Settings for this device: theme and notifications. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Choice } from "../components/form";
import { openDialog } from "../state/dialog";
import { requestPermission, permission } from "../state/notifications";
import { notificationLevel, theme } from "../state/preferences";
import { testids } from "../testids";

export function AppearanceSettings(): JSX.Element {
  return (
    <div class="form">
      <Choice
        legend="Theme"
        value={theme.value}
        options={[
          { value: "system", label: "Use system setting" },
          { value: "light", label: "Light" },
          { value: "dark", label: "Dark" },
        ]}
        onChange={(value) => {
          theme.value = value;
        }}
        testid={testids.theme}
      />
      <Choice
        legend="Notify me when Parley is in the background"
        value={notificationLevel.value}
        options={[
          { value: "all", label: "All messages" },
          { value: "mentions", label: "Mentions and direct messages" },
          { value: "none", label: "Nothing" },
        ]}
        onChange={(value) => {
          notificationLevel.value = value;
        }}
      />
      <Permission />
      <Button onClick={() => openDialog({ name: "shortcuts" })}>Keyboard shortcuts</Button>
    </div>
  );
}

function Permission(): JSX.Element {
  switch (permission.value) {
    case "granted":
      return <p class="hint">Notifications are allowed in this browser.</p>;
    case "denied":
      return <p class="hint">Notifications are blocked in your browser's settings.</p>;
    case "unsupported":
      return <p class="hint">This browser doesn't support notifications.</p>;
    case "default":
      return (
        <Button onClick={() => void requestPermission()} testid={testids.allowNotifications}>
          Allow notifications
        </Button>
      );
  }
}
