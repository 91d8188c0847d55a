/**
 * Whether the members are shown. The choice is remembered only if there is room for the members
 * next to the messages. Otherwise, the members cover the messages and are shown only when the user
 * opens them.
 */

import { computed, signal } from "@preact/signals";

import { membersBeside } from "./preferences";
import { membersCover } from "./viewport";

const drawerOpen = signal(false);

/** Whether the members cover the messages. */
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
 * uncoverMessages closes the members if they cover the messages. It returns false if they do not.
 * It is also called when a channel is opened or left.
 */
export function uncoverMessages(): boolean {
  const covered = drawerShown.peek();
  drawerOpen.value = false;
  return covered;
}
