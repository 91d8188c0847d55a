/** The names and pictures of users, taken from member lists, messages and profiles. */

import type { Me, User } from "@parley/client";
import { type Signal, signal } from "@preact/signals";

import { t } from "../i18n";
import type { Mentioned, MentionedNames } from "../lib/markup";
import { EVERYONE } from "../lib/mention";
import { sdk } from "./client";
import { myID } from "./me";

export interface Person {
  readonly id: string;
  readonly username: string;
  readonly displayName: string;
  readonly avatarURL: string;
  readonly deleted: boolean;
}

const people = new Map<string, Signal<Person>>();
/** The requested profiles, by user id. Each promise resolves when the response has arrived. */
const requested = new Map<string, Promise<void>>();
/** The next request for profiles. It collects user ids until it is sent. */
let next: { readonly ids: string[]; readonly sent: Promise<void> } | undefined;

/** MAX_IDS is the maximum number of profiles per request. */
const MAX_IDS = 100;
/** MAX_NAME_WAIT_MS limits how long messages wait for the names of their authors. */
const MAX_NAME_WAIT_MS = 1000;

export function person(id: string): Signal<Person> {
  let known = people.get(id);
  if (known === undefined) {
    known = signal({ id, username: "", displayName: "", avatarURL: "", deleted: false });
    people.set(id, known);
  }
  return known;
}

export function learn(id: string, change: Partial<Omit<Person, "id">>): void {
  const known = person(id);
  const was = known.peek();
  const next = { ...was, ...change };
  if (next.username !== was.username || next.displayName !== was.displayName || next.avatarURL !== was.avatarURL || next.deleted !== was.deleted) {
    known.value = next;
    updateNames(was, next);
  }
}

/** Maps each displayed name to the ids of the users with that name. */
const usersByName = new Map<string, Signal<ReadonlySet<string>>>();

const usersNamedLike = (p: Person): Signal<ReadonlySet<string>> => {
  const name = nameOf(p, "").normalize("NFKC").toLowerCase();
  let known = usersByName.get(name);
  if (known === undefined) {
    known = signal(new Set());
    usersByName.set(name, known);
  }
  return known;
};

function updateNames(was: Person, next: Person): void {
  const before = usersNamedLike(was);
  const after = usersNamedLike(next);
  if (before !== after || !after.peek().has(next.id)) {
    before.value = new Set([...before.peek()].filter((id) => id !== was.id));
    after.value = new Set([...after.peek(), next.id]);
  }
}

/**
 * hasNamesake reports whether another user has the same displayed name, which makes the name
 * ambiguous.
 */
export function hasNamesake(p: Person): boolean {
  return !p.deleted && p.username !== "" && usersNamedLike(p).value.size > 1;
}

/** mentionedNames returns the names that a message mentions, from the ids in its event. */
export function mentionedNames(message: { readonly channel_id: string; readonly mentions: readonly string[] }): MentionedNames {
  const mentioned = new Map<string, Mentioned>();
  for (const id of message.mentions) {
    if (id === message.channel_id) {
      mentioned.set(EVERYONE, { me: true });
      continue;
    }
    const { username } = person(id).value;
    if (username === "") {
      requestProfile(id);
    } else {
      mentioned.set(username.toLowerCase(), { userID: id, me: id === myID() });
    }
  }
  return mentioned;
}

export function learnMember(member: { readonly user_id: string; readonly username: string; readonly display_name: string }): void {
  learn(member.user_id, { username: member.username, displayName: member.display_name });
}

/** nameOf returns the name to show for a user. */
export function nameOf(p: Person, fallback = t().common.someone): string {
  return p.deleted ? t().common.deletedAccount : p.displayName !== "" ? p.displayName : p.username !== "" ? p.username : fallback;
}

/**
 * requestProfile requests a user's profile, at most once. The profile is needed because messages
 * contain neither the picture nor the display name of their author.
 */
export function requestProfile(id: string): void {
  if (requested.has(id)) {
    return;
  }
  if (next === undefined || next.ids.length >= MAX_IDS) {
    const ids: string[] = [];
    next = { ids, sent: Promise.resolve().then(() => loadProfiles(ids)) };
  }
  next.ids.push(id);
  requested.set(id, next.sent);
}

async function loadProfiles(ids: readonly string[]): Promise<void> {
  if (next?.ids === ids) {
    next = undefined;
  }
  try {
    (await sdk().rest.getProfiles({ ids })).items.forEach(learnUser);
  } catch {
    // Do not show an error, because only names or pictures are missing. They are requested again
    // when they are next needed.
    ids.forEach((id) => requested.delete(id));
  }
}

/**
 * knowNames waits until the names of these users are known, so that the displayed names do not
 * change while the user reads the messages. It waits for at most MAX_NAME_WAIT_MS.
 */
export async function knowNames(ids: Iterable<string>): Promise<void> {
  const users = new Set(ids);
  users.forEach(requestProfile);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, MAX_NAME_WAIT_MS);
  });
  await Promise.race([waited, Promise.all([...users].map((id) => requested.get(id)))]);
  clearTimeout(timer);
}

export function learnUser(user: User): void {
  requested.set(user.id, Promise.resolve());
  learn(user.id, { username: user.username, displayName: user.display_name, avatarURL: user.avatar_url, deleted: user.deleted });
}

/** learnMe records this user's own profile, which is part of the session. */
export function learnMe(me: Me): void {
  requested.set(me.id, Promise.resolve());
  learn(me.id, { username: me.username, displayName: me.display_name, avatarURL: me.avatar_url });
}

export function forgetPeople(): void {
  people.clear();
  requested.clear();
  next = undefined;
}
