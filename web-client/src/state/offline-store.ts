/**
 * The offline copy in the browser's storage. The page shows it if it is opened while the server is
 * unreachable. `offline-copy.ts` keeps it up to date.
 *
 * All tabs share one copy, which belongs to one user. A tab adds to the copy only while the copy
 * belongs to the tab's user; any tab may erase messages. localStorage is synchronous, so no tab
 * writes to a copy that another tab has erased.
 */

import type { ChannelDetails, Group, Me } from "@parley/client";

import type { ChannelCopy } from "../lib/channel-copy";
import { store, stored, storedKeys } from "../lib/storage";
import type { Person } from "./people";

/** MAX_CHANNELS is the maximum number of channels whose messages are copied. */
export const MAX_CHANNELS = 20;
/** MAX_LISTED is the maximum number of channels in the copied list. */
const MAX_LISTED = 500;

const ALL = "offline.";
/**
 * The storage prefix. It contains the version of the format, so that a release does not read data
 * in another format.
 */
const PREFIX = `${ALL}1.`;
const USER = `${PREFIX}user`;
const LIST = `${PREFIX}list`;
/** The ids of the channels whose messages are copied, the most recently opened first. */
const OPENED = `${PREFIX}opened`;
const channelKey = (id: string): string => `${PREFIX}channel.${id}`;

/** The channel list, with the unread counts and read positions at the time of the copy. */
export interface ListCopy {
  readonly channels: readonly ChannelDetails[];
  readonly groups: readonly Group[];
}

/** A channel's messages, and the users whose names they show. */
export interface MessagesCopy extends ChannelCopy {
  readonly people: readonly Person[];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isMe = (value: unknown): value is Me => isObject(value) && typeof value["id"] === "string";
const isList = (value: unknown): value is ListCopy => isObject(value) && Array.isArray(value["channels"]) && Array.isArray(value["groups"]);
const isMessages = (value: unknown): value is MessagesCopy => isObject(value) && Array.isArray(value["messages"]) && Array.isArray(value["people"]);
const isStrings = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every((v) => typeof v === "string");

const read = <T>(key: string, valid: (value: unknown) => value is T): T | undefined =>
  stored<T | undefined>(key, undefined, (value): value is T => valid(value));

/**
 * write replaces a stored value. It removes the old value first, so that no outdated value remains
 * if the storage is full.
 */
function write(key: string, value: unknown): void {
  store(key, undefined);
  store(key, value);
}

/**
 * canStartOffline reports whether the browser has service workers. If not, as on a page without
 * TLS, the page cannot be opened while the server is unreachable, so a copy would be useless.
 */
export const canStartOffline = (): boolean => "serviceWorker" in navigator;

/** copiedUser returns the user to whom the copy belongs, if there is a copy. */
export const copiedUser = (): Me | undefined => read(USER, isMe);

const belongsTo = (userID: string): boolean => copiedUser()?.id === userID;

/** takeCopy assigns the offline copy to the given user. A copy of another user is erased first. */
export function takeCopy(me: Me): void {
  if (!belongsTo(me.id)) {
    eraseCopy();
  }
  if (canStartOffline()) {
    write(USER, me);
  }
}

/**
 * eraseCopy erases the offline copy. If a user is given and the copy belongs to another user,
 * eraseCopy does nothing.
 */
export function eraseCopy(userID?: string): void {
  const owner = copiedUser()?.id;
  if (userID === undefined || owner === undefined || owner === userID) {
    eraseKeys((key) => key.startsWith(ALL));
  }
}

function eraseKeys(which: (key: string) => boolean): void {
  storedKeys()
    .filter(which)
    .forEach((key) => store(key, undefined));
}

/** updateCopiedUser stores the user's changed profile. */
export function updateCopiedUser(me: Me): void {
  if (belongsTo(me.id)) {
    write(USER, me);
  }
}

export const copiedList = (): ListCopy | undefined => read(LIST, isList);

export function copyList(userID: string, { channels, groups }: ListCopy): void {
  if (belongsTo(userID)) {
    write(LIST, { channels: channels.slice(0, MAX_LISTED), groups });
  }
}

const openedChannels = (): readonly string[] => read(OPENED, isStrings) ?? [];

/**
 * noteOpened records that a channel has been opened. If more than MAX_CHANNELS channels are
 * recorded, it erases the messages of the channel that was opened least recently.
 */
export function noteOpened(userID: string, channelID: string): void {
  if (belongsTo(userID)) {
    keepChannels([channelID, ...openedChannels().filter((id) => id !== channelID)].slice(0, MAX_CHANNELS));
  }
}

/** forgetCopiedChannel erases a channel's messages, because the user is no longer a member. */
export const forgetCopiedChannel = (channelID: string): void => keepChannels(openedChannels().filter((id) => id !== channelID));

/** forgetOtherChannels erases the messages of all channels that the user is not a member of. */
export const forgetOtherChannels = (memberOf: (channelID: string) => boolean): void => keepChannels(openedChannels().filter(memberOf));

function keepChannels(ids: readonly string[]): void {
  write(OPENED, ids.length === 0 ? undefined : ids);
  const keys = new Set(ids.map(channelKey));
  eraseKeys((key) => key.startsWith(channelKey("")) && !keys.has(key));
}

export const copiedChannel = (channelID: string): MessagesCopy | undefined => read(channelKey(channelID), isMessages);

/**
 * copyChannel stores a channel's messages, if the channel is among the most recently opened ones.
 */
export function copyChannel(userID: string, channelID: string, copy: MessagesCopy): void {
  if (belongsTo(userID) && openedChannels().includes(channelID)) {
    write(channelKey(channelID), copy);
  }
}

/** eraseCopiedMessages erases a channel's messages until they are copied again. */
export const eraseCopiedMessages = (channelID: string): void => store(channelKey(channelID), undefined);
