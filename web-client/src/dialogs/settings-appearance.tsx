/** What is of this device alone: how the page looks, and when it calls. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Choice } from "../components/form";
import { openDialog } from "../state/dialog";
import { askPermission, permission } from "../state/notifications";
import { notifyOf, theme } from "../state/preferences";
import { testids } from "../testids";

export function AppearanceSettings(): JSX.Element {
  return (
    <div class="form">
      <Choice
        legend="Colours"
        value={theme.value}
        options={[
          { value: "system", label: "As the system" },
          { value: "light", label: "Light" },
          { value: "dark", label: "Dark" },
        ]}
        onChange={(value) => {
          theme.value = value;
        }}
        testid={testids.theme}
      />
      <Choice
        legend="Notifications while the page is hidden"
        value={notifyOf.value}
        options={[
          { value: "all", label: "Of every message" },
          { value: "mentions", label: "Of mentions and direct messages" },
          { value: "none", label: "None" },
        ]}
        onChange={(value) => {
          notifyOf.value = value;
        }}
      />
      <Permission />
      <Button onClick={() => openDialog({ name: "shortcuts" })}>Show the keys</Button>
    </div>
  );
}

function Permission(): JSX.Element {
  switch (permission.value) {
    case "granted":
      return <p class="hint">The browser shows notifications of this page.</p>;
    case "denied":
      return <p class="hint">The browser refuses notifications of this page; its settings say so.</p>;
    case "unsupported":
      return <p class="hint">This browser knows no notifications.</p>;
    case "default":
      return (
        <Button onClick={() => void askPermission()} testid={testids.allowNotifications}>
          Allow notifications
        </Button>
      );
  }
}
