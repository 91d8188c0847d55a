/** The menu with the actions for a message that have no button in its toolbar. */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";

import { Icon, type IconName } from "../components/icon";
import { moveInMenu } from "../components/menu-keys";
import { MenuPopover } from "../components/popover";
import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import { openDialog } from "../state/dialog";
import { myID } from "../state/me";
import { closePopover, type OpenPopover, togglePopover } from "../state/popover";
import { channelOf } from "../state/react";
import { markUnread } from "../state/reading";
import { copyLink, copyText } from "../state/share";
import { testids } from "../testids";

interface Item {
  readonly icon: IconName;
  readonly name: string;
  readonly testid: string;
  readonly run: () => void;
}

export default function MessageMenu({ open, message }: { readonly open: OpenPopover; readonly message: LoggedMessage }): JSX.Element {
  const menu = useRef<HTMLDivElement>(null);
  const items = itemsFor(open, message);
  return (
    <MenuPopover open={open}>
      <div ref={menu} role="menu" aria-label={t().message.more} onKeyDown={(event) => moveInMenu(event, menu.current)}>
        {items.map(({ icon, name, testid, run }, i) => (
          <button
            key={testid}
            type="button"
            role="menuitem"
            class="menu-item"
            tabIndex={-1}
            data-autofocus={i === 0 ? "" : undefined}
            onClick={() => {
              closePopover();
              run();
            }}
            data-testid={testid}
          >
            <Icon name={icon} size={16} />
            {name}
          </button>
        ))}
      </div>
    </MenuPopover>
  );
}

function itemsFor({ anchor }: OpenPopover, message: LoggedMessage): readonly Item[] {
  const state = channelOf(message);
  const mine = message.sender_id === myID();
  const items: Item[] = [];
  if (mine) {
    // For other users' messages, the toolbar has a button that copies the link.
    items.push({ icon: "link", name: t().message.copyLink, testid: testids.copyLink, run: () => void copyLink(message.channel_id, message.seq) });
  }
  items.push({ icon: "copy", name: t().message.copyText, testid: testids.copyText, run: () => void copyText(message.body) });
  if (state !== undefined) {
    items.push({ icon: "unread", name: t().message.markUnread, testid: testids.markUnread, run: () => markUnread(state, message) });
  }
  if (mine) {
    items.push({ icon: "eye", name: t().message.receipts, testid: testids.receipts, run: () => togglePopover({ name: "receipts", message }, anchor) });
  }
  if (mine || state?.manages === true) {
    items.push({ icon: "trash", name: t().common.delete, testid: testids.remove, run: () => openDialog({ name: "delete-message", message }) });
  }
  return items;
}
