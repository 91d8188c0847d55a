/**
 * Whether the members pane is shown. The choice is remembered only if there is room for the pane
 * next to the messages. Otherwise, the pane covers the messages and is shown only when the user
 * opens it.
 */

import { computed, signal } from "@preact/signals";

import { membersBeside } from "./preferences";
import { membersCover } from "./viewport";

const drawerOpen = signal(false);

/** Whether the members pane covers the messages. */
export const drawerShown = computed(() => membersCover.value && drawerOpen.value);

export const membersShown = computed(() => drawerShown.value || (!membersCover.value && membersBeside.value));

export function showMembers(shown: boolean): void {
  if (membersCover.peek()) {
    drawerOpen.value = shown;
  } else {
    membersBeside.value = shown;
  }
}

/**
 * uncoverMessages closes the members pane if the pane covers the messages, and reports whether it
 * did. It is called when the user goes back, and when a channel is opened or left.
 */
export function uncoverMessages(): boolean {
  const covered = drawerShown.peek();
  drawerOpen.value = false;
  return covered;
}
