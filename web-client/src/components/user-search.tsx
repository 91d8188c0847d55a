/** A search for users by a prefix of their username or display name. */

import type { User } from "@parley/client";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { t } from "../i18n";
import { sdk } from "../state/client";
import { learnUser, nameOf, person } from "../state/people";
import { showError } from "../state/toasts";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { Field } from "./form";

/** SEARCH_DELAY_MS is how long to wait for further input, to avoid a request per keystroke. */
const SEARCH_DELAY_MS = 200;

interface UserSearchProps {
  readonly label: string;
  /** Called with the found users before they are shown. */
  readonly prepare?: (users: readonly User[]) => Promise<void>;
  /** Renders the actions for a found user. */
  readonly children: (user: User) => ComponentChildren;
}

export function UserSearch({ label, prepare, children }: UserSearchProps): JSX.Element {
  const [query, setQuery] = useState("");
  const [found, setFound] = useState<readonly User[] | undefined>(undefined);
  useEffect(() => {
    const wanted = query.trim().replace(/^@/, "");
    if (wanted === "") {
      setFound(undefined);
      return undefined;
    }
    let current = true;
    const timer = setTimeout(() => {
      sdk()
        .rest.listUsers({ query: wanted, limit: 20 })
        .then(async ({ items }) => {
          await prepare?.(items);
          if (current) {
            items.forEach(learnUser);
            setFound(items);
          }
        })
        .catch(showError);
    }, SEARCH_DELAY_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [query]);
  return (
    <>
      <Field label={label} type="search" value={query} onInput={setQuery} hint={t().search.hint} autofocus testid={testids.userSearch} />
      {found?.length === 0 && <p class="section-empty">{t().search.nobody}</p>}
      <ul class="results">
        {found?.map((user) => (
          <li key={user.id} class="result" data-testid={testids.userResult} data-username={user.username}>
            <PersonLine userID={user.id} username={user.username} />
            <span class="result-actions">{children(user)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

export function PersonLine({ userID, username }: { readonly userID: string; readonly username: string }): JSX.Element {
  return (
    <span class="person-line">
      <Avatar userID={userID} name={username} size="small" />
      <span class="member-names">
        <span class="member-name" dir="auto">
          {nameOf(person(userID).value, username)}
        </span>
        <span class="member-username">@{username}</span>
      </span>
    </span>
  );
}
