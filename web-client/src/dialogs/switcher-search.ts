/** The switcher's search for people and public channels on the server. */

import type { ChannelDetails, User } from "@parley/client";
import { useEffect, useState } from "preact/hooks";

import { channels } from "../state/channels";
import { sdk } from "../state/client";
import { myID } from "../state/me";
import { learnUser } from "../state/people";

/** SEARCH_DELAY_MS is how long to wait for further input, to avoid a request per keystroke. */
const SEARCH_DELAY_MS = 200;
const MAX_OF_A_KIND = 5;

export interface Found {
  /** The query that the results are for. */
  readonly query: string;
  readonly users: readonly User[];
  /** Public channels that the user has not joined. */
  readonly channels: readonly ChannelDetails[];
}

const NOTHING: Found = { query: "", users: [], channels: [] };

/**
 * useSearch returns the results of the most recently completed search. If the server does not
 * respond, the switcher shows no error, because it still finds the user's own channels.
 */
export function useSearch(typed: string): Found {
  const [found, setFound] = useState(NOTHING);
  const query = typed.trim();
  useEffect(() => {
    if (query === "") {
      setFound(NOTHING);
      return undefined;
    }
    let current = true;
    const timer = setTimeout(() => {
      void search(query).then((results) => {
        if (current) {
          setFound(results);
        }
      });
    }, SEARCH_DELAY_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [query]);
  return found;
}

async function search(query: string): Promise<Found> {
  const { rest } = sdk();
  const bare = query.replace(/^[@#]/, "");
  if (bare === "") {
    return { ...NOTHING, query };
  }
  const [users, listed] = await Promise.all([
    rest.listUsers({ query: bare, limit: MAX_OF_A_KIND }).then((page) => page.items, () => []),
    rest.listChannels({ query: bare, limit: MAX_OF_A_KIND }).then((page) => page.items, () => []),
  ]);
  users.forEach(learnUser);
  return {
    query,
    users: users.filter((user) => user.id !== myID()),
    channels: listed.filter((channel) => !channels.peek().has(channel.id)),
  };
}
