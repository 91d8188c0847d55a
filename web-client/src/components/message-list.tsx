/** The messages of the open channel, in a windowed list that loads pages in both directions. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useComputed, useSignal } from "@preact/signals";

import { t } from "../i18n";
import { dayLabel } from "../lib/dates";
import type { LoggedMessage } from "../lib/log";
import { estimate, keyOf, NEW_ROW, type Row, rowsOf } from "../lib/rows";
import { firstUnread, reaches } from "../lib/seen";
import type { ChannelState } from "../state/channel-state";
import { connection, connectionText } from "../state/connection";
import { focusComposer, placing, returnToNewest, target } from "../state/compose";
import { failedRead, openNewest, reading, readNewer, readOlder } from "../state/history";
import { myID } from "../state/me";
import { testids } from "../testids";
import { Beginning } from "./beginning";
import { Icon } from "./icon";
import { type MessageActions, MessageRow } from "./message-row";
import { PendingRow } from "./pending-row";
import { useMarkRead } from "./mark-read";
import { NewBar } from "./new-bar";
import { useWindow } from "./windowed";

/**
 * READ_AHEAD is the distance, in pixels, from either end of the loaded messages at which the next
 * page is loaded.
 */
const READ_AHEAD = 1200;

export function MessageList({ state }: { readonly state: ChannelState }): JSX.Element {
  const me = myID();
  const log = state.log.value;
  const pending = state.pending.value;
  const newAfter = state.newAfter.value;
  const rows = useMemo(
    () => (log === undefined ? [] : rowsOf({ log, pending, me, readSeq: newAfter })),
    [log, pending, newAfter, me],
  );
  const atNewest = log?.atNewest === true;
  const list = useWindow(rows, estimate, atNewest);
  useMarkRead(state, list.scroller);
  const allInView = list.atEnd && atNewest;
  const unread = unreadOf(state, list);
  usePages(state, list, log);

  // Only one row is a tab stop; the arrow keys move the focus from there.
  const active = useSignal("");
  const focusNext = useRef<string | undefined>(undefined);
  const stop = useComputed(() => active.value);
  const activeKey = rows.some((r) => r.key === stop.value) ? stop.value : (rows.findLast((r) => r.kind === "message" || r.kind === "pending")?.key ?? "");
  const flashed = useSignal("");
  useTarget(rows, list, focusNext, flashed.value, (key) => {
    flashed.value = key;
  });

  useEffect(() => {
    const key = focusNext.current;
    if (key !== undefined) {
      const row = list.scroller.current?.querySelector<HTMLElement>(`[data-row="${CSS.escape(key)}"]`);
      if (row !== null && row !== undefined) {
        focusNext.current = undefined;
        row.focus({ preventScroll: true });
      }
    }
  });

  const goTo = (key: string): void => {
    active.value = key;
    focusNext.current = key;
    list.reveal(key, "nearest");
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const row = event.target instanceof HTMLElement ? event.target.dataset["row"] : undefined;
    if (row === undefined || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const at = rows.findIndex((r) => r.key === row);
    const next = stepFrom(rows, at, event.key);
    if (next !== undefined) {
      event.preventDefault();
      goTo(next);
    } else if (event.key === "Escape" || (event.key === "ArrowDown" && at >= rows.length - 1)) {
      event.preventDefault();
      focusComposer();
    }
  };

  const shown = rows.slice(list.range.first, list.range.end);
  const actions: MessageActions = useMemo(() => ({ state }), [state]);
  return (
    <div class="messages">
      <div
        ref={list.scroller}
        class="messages-scroller"
        role="list"
        aria-label={t().list.label(state.title.value)}
        aria-busy={reading(state).size > 0}
        onScroll={list.onScroll}
        onKeyDown={onKeyDown}
        onFocusIn={(event) => {
          const row = event.target instanceof HTMLElement ? event.target.closest<HTMLElement>("[data-row]")?.dataset["row"] : undefined;
          if (row !== undefined) {
            active.value = row;
          }
        }}
        data-testid={testids.messageList}
        data-rows={rows.length}
      >
        <div class="messages-content" role="presentation" style={{ height: `${list.total}px` }}>
          <div class="messages-window" role="presentation" style={{ transform: `translateY(${list.top}px)` }}>
            {shown.map((row) => (
              <ListRow key={row.key} row={row} actions={actions} stop={row.key === activeKey} flash={row.key === flashed.value} />
            ))}
          </div>
        </div>
      </div>
      {log === undefined && <NotLoaded state={state} />}
      {(unread.sight === "above" || (unread.sight !== undefined && !allInView)) && <NewBar state={state} first={unread.first} away={unread.sight === "above" || unread.first === undefined} />}
      {!allInView && log !== undefined && (
        <button
          type="button"
          class="jump"
          data-testid={testids.jumpToNewest}
          onClick={() => {
            returnToNewest(state);
            void openNewest(state);
          }}
        >
          <Icon name="down" size={16} />
          {unread.sight === "below" ? t().list.newCount(state.unread.value) : t().list.jumpToNewest}
        </button>
      )}
    </div>
  );
}

interface FirstUnread {
  /** The first unread message, if it is loaded. */
  readonly first: LoggedMessage | undefined;
  /** The first unread message's position relative to the view; undefined if nothing is unread. */
  readonly sight: "above" | "within" | "below" | undefined;
}

function unreadOf(state: ChannelState, list: ReturnType<typeof useWindow>): FirstUnread {
  const log = state.log.value;
  const me = myID();
  if (log === undefined || state.unread.value === 0 || placing.value) {
    return { first: undefined, sight: undefined };
  }
  const first = firstUnread(log, state.readSeq, me);
  if (first !== undefined) {
    return { first, sight: list.sightOf(keyOf(first, me)) };
  }
  return { first, sight: !reaches(log, state.readSeq) ? "above" : log.atNewest ? undefined : "below" };
}

/** NotLoaded explains why a channel that may have messages is shown without them. */
function NotLoaded({ state }: { readonly state: ChannelState }): JSX.Element | null {
  if (connectionText.value.tone !== "bad" && failedRead(state) === undefined) {
    return null;
  }
  const live = connection.value.name === "up-to-date";
  return (
    <p class="messages-missing" data-testid={testids.messagesMissing}>
      {live ? t().list.notLoaded : t().list.offline}
    </p>
  );
}

/** usePages loads the next page when the view comes close to either end of the loaded messages. */
function usePages(state: ChannelState, list: ReturnType<typeof useWindow>, log: ChannelState["log"]["value"]): void {
  const busy = reading(state).size > 0;
  useEffect(() => {
    if (busy || log === undefined) {
      return;
    }
    if (!log.atOldest && list.above() < READ_AHEAD) {
      void readOlder(state);
    } else if (!log.atNewest && list.below() < READ_AHEAD) {
      void readNewer(state);
    }
  });
}

/** useTarget scrolls to the requested row once it exists. */
function useTarget(
  rows: readonly Row[],
  list: ReturnType<typeof useWindow>,
  focusNext: { current: string | undefined },
  flashed: string,
  flash: (key: string) => void,
): void {
  const wanted = target.value;
  useEffect(() => {
    if (wanted === undefined) {
      return;
    }
    const there = rows.some((r) => r.key === wanted.key);
    if (wanted.key === undefined || (wanted.key === NEW_ROW && !there)) {
      list.toEnd();
    } else if (there) {
      list.reveal(wanted.key, wanted.flash || wanted.key === NEW_ROW ? "centre" : "nearest");
      if (wanted.flash) {
        flash(wanted.key);
      }
      if (wanted.focus) {
        focusNext.current = wanted.key;
      }
    }
    target.value = undefined;
    placing.value = false;
  }, [wanted, rows]);
  useEffect(() => {
    if (flashed === "") {
      return undefined;
    }
    const timer = setTimeout(() => flash(""), 2500);
    return () => clearTimeout(timer);
  }, [flashed]);
}

/**
 * stepFrom returns the key of the row to which an arrow key, Home or End moves the focus, or
 * undefined if there is none.
 */
function stepFrom(rows: readonly Row[], at: number, key: string): string | undefined {
  const step = key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0;
  const isStop = (row: Row | undefined): boolean => row?.kind === "message" || row?.kind === "pending";
  if (key === "End") {
    return rows.findLast(isStop)?.key;
  }
  if (key === "Home") {
    return rows.find(isStop)?.key;
  }
  for (let i = at + step; step !== 0 && i >= 0 && i < rows.length; i += step) {
    if (isStop(rows[i])) {
      return rows[i]?.key;
    }
  }
  return undefined;
}

interface ListRowProps {
  readonly row: Row;
  readonly actions: MessageActions;
  readonly stop: boolean;
  readonly flash: boolean;
}

function ListRow({ row, actions, stop, flash }: ListRowProps): JSX.Element {
  switch (row.kind) {
    case "beginning":
      return <Beginning state={actions.state} rowKey={row.key} />;
    case "loading":
      return (
        <div role="listitem" data-row={row.key} class="row-loading">
          {actions.state.log.value?.fromCopy === true ? t().list.offline : t().common.loading}
        </div>
      );
    case "day":
      return (
        <div role="listitem" data-row={row.key} class="row-day" data-testid={testids.daySeparator}>
          <span>{dayLabel(row.ms, Date.now())}</span>
        </div>
      );
    case "new":
      return (
        <div role="listitem" data-row={row.key} class="row-new" data-testid={testids.newLine}>
          <span>{t().list.newMessages}</span>
        </div>
      );
    case "message":
      return <MessageRow row={row} actions={actions} stop={stop} flash={flash} />;
    case "pending":
      return <PendingRow row={row} stop={stop} />;
  }
}
