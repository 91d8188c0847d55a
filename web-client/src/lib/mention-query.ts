/** Completion of @names while typing. */

import { startsMention } from "./mention";

export interface MentionQuery {
  /** The index of the @. */
  readonly at: number;
  readonly text: string;
}

/** mentionAt returns the @name at the cursor, if there is one. */
export function mentionAt(body: string, cursor: number): MentionQuery | undefined {
  const text = /@([A-Za-z0-9_.-]{0,50})$/.exec(body.slice(Math.max(0, cursor - 51), cursor))?.[1];
  if (text === undefined) {
    return undefined;
  }
  const at = cursor - text.length - 1;
  return startsMention(body, at) ? { at, text } : undefined;
}

/**
 * complete replaces the typed part of a name with the whole name. It returns the new body and
 * cursor position.
 */
export function complete(body: string, query: MentionQuery, name: string): { readonly body: string; readonly cursor: number } {
  const rest = body.slice(query.at + 1 + query.text.length);
  const before = `${body.slice(0, query.at)}@${name}${rest.startsWith(" ") ? "" : " "}`;
  return { body: before + rest, cursor: before.length + (rest.startsWith(" ") ? 1 : 0) };
}

interface Named {
  readonly username: string;
  readonly display_name: string;
}

/**
 * candidates returns at most `max` members whose username or display name starts with the typed
 * text.
 */
export function candidates<T extends Named>(members: readonly T[], text: string, max: number): readonly T[] {
  const wanted = text.toLowerCase();
  const begins = (m: T): boolean => m.username.toLowerCase().startsWith(wanted) || m.display_name.toLowerCase().startsWith(wanted);
  return members.filter(begins).slice(0, max);
}
