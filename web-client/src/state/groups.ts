/** This user's groups. */

import { allPages, type Group } from "@parley/client";
import { signal } from "@preact/signals";

import { sdk } from "./client";
import { copiedList } from "./offline-store";

/** undefined until they have been loaded. */
export const groups = signal<readonly Group[] | undefined>(undefined);

export async function loadGroups(): Promise<void> {
  groups.value = await allPages((at) => sdk().rest.listGroups({ limit: 200, ...at }));
}

/** restoreGroups shows the groups of the offline copy until the user's groups have been loaded. */
export function restoreGroups(): void {
  groups.value = copiedList()?.groups;
}

export function forgetGroups(): void {
  groups.value = undefined;
}
