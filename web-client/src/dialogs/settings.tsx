/** The settings: profile, this device, sessions and account. */

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { Dialog } from "../components/dialog";
import { AccountSettings } from "./settings-account";
import { AppearanceSettings } from "./settings-appearance";
import { ProfileSettings } from "./settings-profile";
import { SessionSettings } from "./settings-sessions";

const tabs = [
  { id: "profile", title: "Profile", panel: ProfileSettings },
  { id: "appearance", title: "This device", panel: AppearanceSettings },
  { id: "sessions", title: "Sessions", panel: SessionSettings },
  { id: "account", title: "Account", panel: AccountSettings },
] as const;

type TabID = (typeof tabs)[number]["id"];

export default function Settings({ tab }: { readonly tab: TabID }): JSX.Element {
  const [open, setOpen] = useState<TabID>(tab);
  const list = useRef<HTMLDivElement>(null);
  const at = tabs.findIndex((t) => t.id === open);
  const Panel = tabs[at]?.panel ?? ProfileSettings;
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (step !== 0 && next !== undefined) {
      event.preventDefault();
      setOpen(next.id);
      list.current?.querySelector<HTMLElement>(`#tab-${next.id}`)?.focus();
    }
  };
  return (
    <Dialog title="Settings" size="wide">
      <div ref={list} class="tabs" role="tablist" aria-label="Settings" onKeyDown={onKeyDown}>
        {tabs.map((t) => (
          <button
            key={t.id}
            type="button"
            role="tab"
            id={`tab-${t.id}`}
            class="tab"
            aria-selected={t.id === open}
            aria-controls="settings-panel"
            tabIndex={t.id === open ? 0 : -1}
            onClick={() => setOpen(t.id)}
          >
            {t.title}
          </button>
        ))}
      </div>
      <div id="settings-panel" class="tab-panel" role="tabpanel" aria-labelledby={`tab-${open}`}>
        <Panel />
      </div>
    </Dialog>
  );
}
