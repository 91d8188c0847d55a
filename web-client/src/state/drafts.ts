/**
 * Drafts are unsent text, stored by user and channel. They survive a reload. Each draft has its own
 * storage key, so tabs do not overwrite each other's drafts, and users of the same browser do not
 * see each other's drafts.
 */

import { storedKeys, store, stored } from "../lib/storage";

const isText = (value: unknown): value is string => typeof value === "string";
const keyOf = (userID: string, channelID = ""): string => `draft.${userID}.${channelID}`;

/** This tab's drafts, for browsers that cannot store anything. */
const typed = new Map<string, string>();

export const draftOf = (userID: string, channelID: string): string => stored(keyOf(userID, channelID), typed.get(keyOf(userID, channelID)) ?? "", isText);

export function keepDraft(userID: string, channelID: string, text: string): void {
  const key = keyOf(userID, channelID);
  if (text === "") {
    typed.delete(key);
    store(key, undefined);
  } else {
    typed.set(key, text);
    store(key, text);
  }
}

/**
 * forgetDrafts removes the user's drafts when the session ends, because they are private. If no
 * user is given, it removes all drafts.
 */
export function forgetDrafts(userID?: string): void {
  forget((key) => key.startsWith(userID === undefined ? "draft." : keyOf(userID)));
}

/**
 * forgetDraftsOfOthers removes the drafts of all users except the given one. Their drafts may
 * remain if a session ended while no page was open.
 */
export function forgetDraftsOfOthers(userID: string): void {
  forget((key) => key.startsWith("draft.") && !key.startsWith(keyOf(userID)));
}

function forget(which: (key: string) => boolean): void {
  for (const key of [...typed.keys(), ...storedKeys()].filter(which)) {
    typed.delete(key);
    store(key, undefined);
  }
  store("drafts", undefined); // earlier releases stored all users' drafts here
}
