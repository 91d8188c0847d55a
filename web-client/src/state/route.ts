/** The page's current address. */

import { signal } from "@preact/signals";

import { parseRoute, pathOf, type Route } from "../lib/routes";
import { closeTopmost } from "./dialog";

const here = (): Route => parseRoute(location.pathname + location.search);

export const route = signal<Route>(here());

addEventListener("popstate", () => {
  if (closeTopmost()) {
    // Back closes a dialog instead of changing the channel below it, so return to this entry. If
    // the dialog was opened on the first entry of the page, Back leaves the page, as it would
    // without a dialog.
    history.forward();
  } else {
    route.value = here();
  }
});

export function navigate(to: Route, how: "push" | "replace" = "push"): void {
  const path = pathOf(to);
  if (how === "replace" || path === location.pathname + location.search) {
    history.replaceState(null, "", path);
  } else {
    history.pushState(null, "", path);
  }
  route.value = to;
}

export const openChannel = (channelID: string, seq?: number): void =>
  navigate(seq === undefined ? { name: "channel", channelID } : { name: "channel", channelID, seq });

/**
 * follow handles a click on a link within the page; clicks with a modifier key are left to the
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
