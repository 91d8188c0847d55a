/**
 * What was typed in a channel and not sent; it is there again after a reload. Each draft has a key of its own, by user and
 * channel: tabs do not write over each other's drafts, and nobody sees those of another user of the browser.
 */

import { storedKeys, store, stored } from "../lib/storage";

const isText = (value: unknown): value is string => typeof value === "string";
const keyOf = (userID: string, channelID = ""): string => `draft.${userID}.${channelID}`;

/** The drafts of this tab, for a browser that stores nothing. */
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

/** Drafts are private: they go with the session. Without a user all drafts go. */
export function forgetDrafts(userID?: string): void {
  forget((key) => key.startsWith(userID === undefined ? "draft." : keyOf(userID)));
}

/** Removes the drafts of all other users: their sessions ended while no page was open. */
export function forgetDraftsOfOthers(userID: string): void {
  forget((key) => key.startsWith("draft.") && !key.startsWith(keyOf(userID)));
}

function forget(which: (key: string) => boolean): void {
  for (const key of [...typed.keys(), ...storedKeys()].filter(which)) {
    typed.delete(key);
    store(key, undefined);
  }
  store("drafts", undefined); // what earlier releases kept, without saying whose it was
}
