/** Moves a channel to another section of the channel list. */

import type { JSX } from "preact";
import { batch } from "@preact/signals";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions } from "../components/form";
import { t } from "../i18n";
import type { ChannelState } from "../state/channel-state";
import { moveToSection } from "../state/channel-preferences";
import { channels } from "../state/channels";
import { closeDialog, openDialog } from "../state/dialog";
import { groups } from "../state/groups";
import { defaultSectionOf, userSectionOf } from "../state/sections";
import { toast } from "../state/toasts";
import { userSections } from "../state/user-sections";
import { testids } from "../testids";

export default function MoveChannel({ channelID }: { readonly channelID: string }): JSX.Element {
  const state = channels.value.get(channelID);
  const current = userSectionOf(channelID);
  const title = state?.title.value ?? "";
  const move = (sectionID: string | undefined, name: string): void => {
    batch(() => {
      moveToSection(channelID, sectionID);
      closeDialog();
    });
    toast(t().moveChannel.moved(title, name));
  };
  const home = state === undefined ? "" : defaultTitle(state);
  return (
    <Dialog title={t().moveChannel.title(title)} size="small">
      <ul>
        {[{ id: undefined, name: home, label: t().moveChannel.default(home) }, ...userSections.value.map((s) => ({ ...s, label: s.name }))].map(({ id, name, label }, i) => (
          <li key={id ?? ""}>
            <button
              type="button"
              class="menu-item"
              aria-pressed={id === current?.id}
              onClick={() => move(id, name)}
              data-autofocus={i === 0 ? "" : undefined}
              data-testid={testids.moveTarget}
            >
              <span dir="auto">{label}</span>
            </button>
          </li>
        ))}
      </ul>
      <Actions>
        <Button onClick={() => openDialog({ name: "section", channelID })} testid={testids.newSection}>
          {t().sidebar.newSection}
        </Button>
      </Actions>
    </Dialog>
  );
}

/** defaultTitle returns the heading of the channel's default section. */
function defaultTitle(state: ChannelState): string {
  const name = defaultSectionOf(state);
  const group = groups.value?.find((g) => g.id === name);
  return group?.name ?? (name === "direct" ? t().sidebar.directMessages : t().sidebar.channels);
}
