/** The browser tab: its title and icon show the number of unread messages. */

import { useEffect } from "preact/hooks";

import { openState, totalUnread } from "../state/channels";

/** The highest number that an icon shows. For higher numbers, the icon shows "9+". */
const MAX_ON_ICON = 9;

export function useTabMark(): void {
  const unread = totalUnread.value;
  const state = openState.value;
  const title = state?.title.value ?? "";
  const place = state === undefined ? "" : state.kind === "direct" ? `${title} – ` : `#${title} – `;
  const mark = unread === 0 ? "" : unread > 999 ? "(999+) " : `(${unread}) `;
  useEffect(() => {
    document.title = `${mark}${place}Parley`;
  }, [mark, place]);
  const icon = iconOf(unread);
  useEffect(() => {
    // The content security policy allows no data: URLs, so each icon is a file.
    document.querySelector('link[rel="icon"]')?.setAttribute("href", icon);
  }, [icon]);
  useEffect(
    () => () => {
      document.title = "Parley";
      document.querySelector('link[rel="icon"]')?.setAttribute("href", iconOf(0));
    },
    [],
  );
}

function iconOf(unread: number): string {
  return unread === 0 ? "/icon.svg" : new URL(`../icons/unread-${unread > MAX_ON_ICON ? "many" : unread}.svg`, import.meta.url).href;
}
