/** Completing @names while somebody types. */

import { startsMention } from "./mention";

export interface MentionQuery {
  /** Where the @ is. */
  readonly at: number;
  readonly text: string;
}

/** The @name that the cursor is in, if it is in one. */
export function mentionAt(body: string, cursor: number): MentionQuery | undefined {
  const text = /@([A-Za-z0-9_.-]{0,50})$/.exec(body.slice(Math.max(0, cursor - 51), cursor))?.[1];
  if (text === undefined) {
    return undefined;
  }
  const at = cursor - text.length - 1;
  return startsMention(body, at) ? { at, text } : undefined;
}

/** The body with the name in the place of what was typed, and where the cursor comes to stand. */
export function complete(body: string, query: MentionQuery, name: string): { readonly body: string; readonly cursor: number } {
  const rest = body.slice(query.at + 1 + query.text.length);
  const before = `${body.slice(0, query.at)}@${name}${rest.startsWith(" ") ? "" : " "}`;
  return { body: before + rest, cursor: before.length + (rest.startsWith(" ") ? 1 : 0) };
}

interface Named {
  readonly username: string;
  readonly display_name: string;
}

/** Those whose name begins with what was typed, at most `most`. */
export function candidates<T extends Named>(members: readonly T[], text: string, most: number): readonly T[] {
  const wanted = text.toLowerCase();
  const begins = (m: T): boolean => m.username.toLowerCase().startsWith(wanted) || m.display_name.toLowerCase().startsWith(wanted);
  return members.filter(begins).slice(0, most);
}
