/**
 * Whether the members are shown. The choice is remembered only if there is room for the members
 * beside the messages. Where they would cover the messages, they are shown only when the user opens
 * them.
 */

import { computed, signal } from "@preact/signals";

import { membersBeside } from "./preferences";
import { membersCover } from "./viewport";

const drawerOpen = signal(false);

export const membersShown = computed(() => (membersCover.value ? drawerOpen.value : membersBeside.value));

export function showMembers(shown: boolean): void {
  if (membersCover.peek()) {
    drawerOpen.value = shown;
  } else {
    membersBeside.value = shown;
  }
}

/** uncoverMessages is called when a channel is opened. */
export function uncoverMessages(): void {
  drawerOpen.value = false;
}
