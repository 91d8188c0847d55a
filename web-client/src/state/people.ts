/** Who is who: names as they are learnt from members, messages and profiles. */

import type { Me, User } from "@parley/client";
import { type Signal, signal } from "@preact/signals";

import type { Calls } from "../lib/markup";
import { EVERYONE } from "../lib/mention";
import { sdk } from "./client";
import { myID } from "./session";

export interface Person {
  readonly id: string;
  readonly username: string;
  readonly displayName: string;
  readonly avatarURL: string;
  readonly deleted: boolean;
}

const people = new Map<string, Signal<Person>>();
const profiles = new Set<string>();
const wanted: string[] = [];
let asking = 0;

/** Profiles are asked for four at a time: a channel's first page may show fifty authors. */
const MOST_REQUESTS = 4;

export function person(id: string): Signal<Person> {
  let known = people.get(id);
  if (known === undefined) {
    known = signal({ id, username: "", displayName: "", avatarURL: "", deleted: false });
    people.set(id, known);
  }
  return known;
}

export function learn(id: string, news: Partial<Omit<Person, "id">>): void {
  const known = person(id);
  const was = known.peek();
  const next = { ...was, ...news };
  if (next.username !== was.username || next.displayName !== was.displayName || next.avatarURL !== was.avatarURL || next.deleted !== was.deleted) {
    known.value = next;
    moveName(was, next);
  }
}

/** Who is shown under a name, by that name. */
const holders = new Map<string, Signal<ReadonlySet<string>>>();

const holdersOf = (p: Person): Signal<ReadonlySet<string>> => {
  const name = nameOf(p, "").normalize("NFKC").toLowerCase();
  let known = holders.get(name);
  if (known === undefined) {
    known = signal(new Set());
    holders.set(name, known);
  }
  return known;
};

function moveName(was: Person, next: Person): void {
  const before = holdersOf(was);
  const after = holdersOf(next);
  if (before !== after || !after.peek().has(next.id)) {
    before.value = new Set([...before.peek()].filter((id) => id !== was.id));
    after.value = new Set([...after.peek(), next.id]);
  }
}

/** Whether somebody else is shown under the same name, so that it does not say who this is. */
export function hasNamesake(p: Person): boolean {
  return !p.deleted && p.username !== "" && holdersOf(p).value.size > 1;
}

/** Whom a message mentions, by the ids that its event has. */
export function callsOf(message: { readonly channel_id: string; readonly mentions: readonly string[] }): Calls {
  const calls = new Map<string, boolean>();
  for (const id of message.mentions) {
    if (id === message.channel_id) {
      calls.set(EVERYONE, true);
      continue;
    }
    const { username } = person(id).value;
    if (username === "") {
      wantProfile(id);
    } else {
      calls.set(username.toLowerCase(), id === myID());
    }
  }
  return calls;
}

export function learnMember(member: { readonly user_id: string; readonly username: string; readonly display_name: string }): void {
  learn(member.user_id, { username: member.username, displayName: member.display_name });
}

/** The name that is shown. */
export function nameOf(p: Person, fallback = "someone"): string {
  return p.deleted ? "deleted account" : p.displayName !== "" ? p.displayName : p.username !== "" ? p.username : fallback;
}

/** Asks for somebody's profile, once: their picture and display name are not in their messages. */
export function wantProfile(id: string): void {
  if (!profiles.has(id)) {
    profiles.add(id);
    wanted.push(id);
    void askNext();
  }
}

async function askNext(): Promise<void> {
  if (asking >= MOST_REQUESTS) {
    return;
  }
  const id = wanted.shift();
  if (id === undefined) {
    return;
  }
  asking++;
  try {
    learnUser(await sdk().rest.getUser(id));
  } catch {
    // A face is worth no complaint: it is asked for again when the page is loaded anew.
  } finally {
    asking--;
    void askNext();
  }
}

export function learnUser(user: User): void {
  profiles.add(user.id);
  learn(user.id, { username: user.username, displayName: user.display_name, avatarURL: user.avatar_url, deleted: user.deleted });
}

/** Of oneself everything is known: it is in the session. */
export function learnMe(me: Me): void {
  profiles.add(me.id);
  learn(me.id, { username: me.username, displayName: me.display_name, avatarURL: me.avatar_url });
}

export function forgetPeople(): void {
  people.clear();
  profiles.clear();
  wanted.length = 0;
}
