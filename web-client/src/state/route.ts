/** The page's current address, and its entries in the browser's history. */

import { effect, signal } from "@preact/signals";

import { parseRoute, pathOf, type Route } from "../lib/routes";
import { closeTopmost, dialog, question } from "./dialog";
import { drawerShown, uncoverMessages } from "./members-pane";
import { popover } from "./popover";

const here = (): Route => parseRoute(location.pathname + location.search);

export const route = signal<Route>(here());

/**
 * EntryState is stored with each entry of the browser's history. The Back button closes an open
 * dialog or popover, or the members pane if it covers the messages, instead of changing the
 * channel. To do this, the page handles the popstate event: it closes the dialog and calls
 * history.forward() to undo the step back. This requires an earlier entry that belongs to the page.
 * So when a dialog is opened on the first entry ("first"), the page adds a copy of that entry
 * ("copy"). When the user goes back from the copy, the page skips the first entry, so leaving the
 * page does not require a second press.
 */
type EntryState =
  /**
   * An entry that the browser added because the page was loaded or a link to a fragment was
   * followed.
   */
  | null
  | "pushed"
  | "first"
  | "copy";

interface Entry {
  readonly state: EntryState;
  readonly href: string;
}

const currentEntry = (): Entry => ({ state: history.state as EntryState, href: location.href });

let entry = currentEntry();
/** The address of the entry to which history.forward() returns. */
let returningTo: string | undefined;

function push(state: EntryState, href: string): void {
  history.pushState(state, "", href);
  entry = currentEntry();
}

effect(() => {
  const open = dialog.value !== undefined || question.value !== undefined || popover.value !== undefined || drawerShown.value;
  if (open && (history.state === null || history.state === "first")) {
    history.replaceState("first", "");
    push("copy", location.href);
  }
});

addEventListener("popstate", () => {
  const from = entry;
  entry = currentEntry();
  const returned = returningTo === entry.href;
  returningTo = undefined;
  if (returned) {
    return; // the route has not changed, and a dialog below a closed question stays open
  }
  if (closeTopmost() || uncoverMessages()) {
    returningTo = from.href;
    history.forward();
    return;
  }
  route.value = here();
  if (from.state === "copy" && entry.state === "first") {
    history.back(); // has no effect if the page is the first one of its tab
  }
});

export function navigate(to: Route, how: "push" | "replace" = "push"): void {
  const path = pathOf(to);
  if (how === "replace" || path === location.pathname + location.search) {
    history.replaceState(history.state, "", path);
    entry = currentEntry();
  } else {
    push("pushed", path);
  }
  route.value = to;
}

export const openChannel = (channelID: string, seq?: number): void =>
  navigate(seq === undefined ? { name: "channel", channelID } : { name: "channel", channelID, seq });

/**
 * follow handles a click on a link within the page. It leaves clicks with a modifier key to the
 * browser.
 */
export function follow(event: MouseEvent, to: Route): void {
  if (event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey) {
    event.preventDefault();
    navigate(to);
  }
}

export const linkTo = (channelID: string, seq?: number): string =>
  location.origin + pathOf(seq === undefined ? { name: "channel", channelID } : { name: "channel", channelID, seq });
