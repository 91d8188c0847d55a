/** This user's groups. */

import { allPages, type Group } from "@parley/client";
import { signal } from "@preact/signals";

import { sdk } from "./client";

/** undefined until they have been loaded. */
export const groups = signal<readonly Group[] | undefined>(undefined);

export async function loadGroups(): Promise<void> {
  groups.value = await allPages((at) => sdk().rest.listGroups({ limit: 200, ...at }));
}

export function forgetGroups(): void {
  groups.value = undefined;
}
