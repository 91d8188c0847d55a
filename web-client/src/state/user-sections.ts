/**
 * The user-defined sections of the channel list. The server does not store them, so they exist on
 * this device only. A channel's preferences contain the id of its section.
 */

import { computed } from "@preact/signals";

import { myID } from "./me";
import { storedSignal } from "./preferences";

export interface UserSection {
  readonly id: string;
  readonly name: string;
}

/** The maximum number of sections that the browser stores for one user. */
export const MAX_SECTIONS = 30;
/** The maximum length of a name in UTF-16 code units, as in an input's `maxlength`. */
export const MAX_SECTION_NAME = 40;

/** The sections by user, because users of the same browser have separate sections. */
type Stored = Readonly<Record<string, unknown>>;

const isStored = (value: unknown): value is Stored => typeof value === "object" && value !== null && !Array.isArray(value);
const all = storedSignal<Stored>("sections", {}, isStored);

const isName = (value: unknown): value is string => typeof value === "string" && value.trim() !== "" && value.length <= MAX_SECTION_NAME;
const isSection = (value: unknown): value is UserSection =>
  typeof value === "object" && value !== null && "id" in value && typeof value.id === "string" && "name" in value && isName(value.name);

/**
 * The user's sections in the order in which they are shown. Entries that are not valid are ignored.
 */
export const userSections = computed<readonly UserSection[]>(() => {
  const list = all.value[myID()];
  return Array.isArray(list) ? list.filter(isSection).slice(0, MAX_SECTIONS) : [];
});

function save(sections: readonly UserSection[]): void {
  const { [myID()]: _, ...others } = all.peek();
  all.value = sections.length === 0 ? others : { ...others, [myID()]: sections };
}

/**
 * createSection adds a section at the end and returns it. It returns undefined if there are
 * MAX_SECTIONS already, or if the name is blank or too long.
 */
export function createSection(name: string): UserSection | undefined {
  const made = { id: newID(), name: name.trim() };
  if (userSections.peek().length >= MAX_SECTIONS || !isSection(made)) {
    return undefined;
  }
  save([...userSections.peek(), made]);
  return made;
}

/** renameSection returns false if the name is blank or too long. */
export function renameSection(id: string, name: string): boolean {
  const valid = isName(name.trim());
  if (valid) {
    save(userSections.peek().map((s) => (s.id === id ? { ...s, name: name.trim() } : s)));
  }
  return valid;
}

/** moveSection moves a section by one place: up if `by` is -1, down if it is 1. */
export function moveSection(id: string, by: -1 | 1): void {
  const { section, at, rest } = takeOut(id);
  if (section !== undefined) {
    save(inserted(rest, at + by, section));
  }
}

/**
 * deleteSection deletes a section and returns a function that restores it. The section's channels
 * keep its id in their preferences. They are shown in their default sections until the section is
 * restored.
 */
export function deleteSection(id: string): () => void {
  const { section, at, rest } = takeOut(id);
  save(rest);
  return () => {
    if (section !== undefined) {
      save(inserted(userSections.peek(), at, section));
    }
  };
}

/** takeOut returns a section, its index, and the other sections. */
function takeOut(id: string): { readonly section: UserSection | undefined; readonly at: number; readonly rest: readonly UserSection[] } {
  const all = userSections.peek();
  const at = all.findIndex((s) => s.id === id);
  return { section: all[at], at, rest: all.filter((s) => s.id !== id) };
}

function inserted(list: readonly UserSection[], at: number, section: UserSection): readonly UserSection[] {
  const place = Math.max(0, at);
  return [...list.slice(0, place), section, ...list.slice(place)];
}

/**
 * newID returns a random id. It does not use `crypto.randomUUID`, which exists only on pages served
 * over HTTPS.
 */
const newID = (): string => `section-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
