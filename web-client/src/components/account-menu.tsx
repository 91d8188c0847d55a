/** The user's avatar and name, with a menu: settings, keyboard shortcuts, signing out. */

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { t } from "../i18n";
import { openDialog } from "../state/dialog";
import { myID } from "../state/me";
import { nameOf, person } from "../state/people";
import { logOut } from "../state/session";
import { attempt } from "../state/toasts";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { Icon } from "./icon";
import { itemsOf, moveInMenu } from "./menu-keys";

export function AccountMenu(): JSX.Element {
  const me = person(myID()).value;
  const menu = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const items = [
    { name: t().accountMenu.settings, testid: testids.openSettings, run: () => openDialog({ name: "settings" }) },
    { name: t().accountMenu.shortcuts, testid: testids.openShortcuts, run: () => openDialog({ name: "shortcuts" }) },
    { name: t().common.signOut, testid: testids.signOut, run: () => void attempt(logOut) },
  ];
  return (
    <div class="account">
      <button
        type="button"
        class="account-button"
        popovertarget="account-menu"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-label={t().accountMenu.open(nameOf(me))}
        data-testid={testids.accountMenu}
      >
        <Avatar userID={myID()} size="small" />
        <span class="account-name" dir="auto">{nameOf(me)}</span>
        <Icon name="fold" size={14} />
      </button>
      <div
        ref={menu}
        id="account-menu"
        class="menu"
        popover="auto"
        onToggle={(event) => {
          const opened = event.newState === "open";
          setOpen(opened);
          if (opened) {
            itemsOf(menu.current)[0]?.focus();
          }
        }}
        onKeyDown={(event) => moveInMenu(event, menu.current)}
      >
        <p class="menu-head">
          <strong>{nameOf(me)}</strong> <span class="member-username">@{me.username}</span>
        </p>
        <div role="menu" aria-label={t().accountMenu.label}>
          {items.map(({ name, testid, run }) => (
            <button
              key={testid}
              type="button"
              role="menuitem"
              class="menu-item"
              tabIndex={-1}
              onClick={() => {
                // Closing the menu moves the focus to the button that opened it. A dialog opened
                // from the menu then returns the focus to that button.
                menu.current?.hidePopover();
                run();
              }}
              data-testid={testid}
            >
              {name}
            </button>
          ))}
        </div>
      </div>
    </div>
  );
}
