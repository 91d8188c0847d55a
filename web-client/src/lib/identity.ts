/**
 * The placeholder for a user without a picture: initials on a color that depends on the user's id.
 */

import { firstCluster } from "./clusters";

export const HUES = 10;

/** hueOf returns one of HUES color classes. For a given id, it is the same on every device. */
export function hueOf(id: string): number {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) {
    hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  }
  return (hash >>> 0) % HUES;
}

/** initialsOf returns the first letters of the first and the last word of a name. */
export function initialsOf(name: string): string {
  const words = name.split(/[\s_.-]+/u).filter((w) => w !== "");
  const first = firstCluster(words[0] ?? "?");
  const last = words.length > 1 ? firstCluster(words.at(-1) ?? "") : "";
  return (first + last).toUpperCase();
}
