/** The settings: profile, this device, sessions and account. */

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { Dialog } from "../components/dialog";
import { t } from "../i18n";
import { AccountSettings } from "./settings-account";
import { AppearanceSettings } from "./settings-appearance";
import { ProfileSettings } from "./settings-profile";
import { SessionSettings } from "./settings-sessions";

const tabs = [
  { id: "profile", title: () => t().settings.profile, panel: ProfileSettings },
  { id: "appearance", title: () => t().settings.device, panel: AppearanceSettings },
  { id: "sessions", title: () => t().settings.sessions, panel: SessionSettings },
  { id: "account", title: () => t().settings.account, panel: AccountSettings },
] as const;

type TabID = (typeof tabs)[number]["id"];

export default function Settings({ tab: first }: { readonly tab: TabID }): JSX.Element {
  const [open, setOpen] = useState<TabID>(first);
  const list = useRef<HTMLDivElement>(null);
  const at = tabs.findIndex(({ id }) => id === open);
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
    <Dialog title={t().settings.title} size="wide">
      <div ref={list} class="tabs" role="tablist" aria-label={t().settings.title} onKeyDown={onKeyDown}>
        {tabs.map((tab) => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`tab-${tab.id}`}
            class="tab"
            aria-selected={tab.id === open}
            aria-controls="settings-panel"
            tabIndex={tab.id === open ? 0 : -1}
            onClick={() => setOpen(tab.id)}
          >
            {tab.title()}
          </button>
        ))}
      </div>
      <div id="settings-panel" class="tab-panel" role="tabpanel" aria-labelledby={`tab-${open}`}>
        <Panel />
      </div>
    </Dialog>
  );
}
