/**
 * The bar above the messages that shows the number of new messages while some of them are out of
 * view.
 */

import type { JSX } from "preact";

import { t } from "../i18n";
import { sinceLabel } from "../lib/dates";
import { sentMs } from "../lib/rows";
import type { LoggedMessage } from "../lib/log";
import type { ChannelState } from "../state/channel-state";
import { showUnread } from "../state/compose";
import { markRead } from "../state/reading";
import { testids } from "../testids";

interface NewBarProps {
  readonly state: ChannelState;
  /** The first unread message; undefined if it is not loaded. */
  readonly first: LoggedMessage | undefined;
  /** Whether the first unread message is above the view or not loaded. */
  readonly away: boolean;
}

export function NewBar({ state, first, away }: NewBarProps): JSX.Element {
  const count = state.unread.value;
  return (
    <div class="new-bar" data-testid={testids.newBar}>
      <span>{first === undefined ? t().list.newCount(count) : t().list.newSince(count, sinceLabel(sentMs(first), Date.now()))}</span>
      {away && (
        <button type="button" class="link-button" onClick={() => void showUnread(state)} data-testid={testids.jumpToUnread}>
          {t().list.jumpToFirst}
        </button>
      )}
      <button type="button" class="link-button" onClick={() => markRead(state)} data-testid={testids.markRead}>
        {t().list.markRead}
      </button>
    </div>
  );
}
