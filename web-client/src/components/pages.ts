/** usePages reads a list from the server page by page. */

import type { Page, Paging } from "@parley/client";
import { useEffect, useRef, useState } from "preact/hooks";

import { connection } from "../state/connection";
import { showError } from "../state/toasts";

/** PAGE_SIZE is how many items are read initially, and how many each further page adds. */
const PAGE_SIZE = 50;

export interface Pages<T> {
  readonly items: readonly T[];
  /** Reads the next page; undefined if every item has been read. */
  readonly more: (() => void) | undefined;
}

/**
 * usePages reads the first page, and reads it again when `about` changes or the page has
 * reconnected. Until then, it keeps what it had.
 */
export function usePages<T>(list: (paging: Paging) => Promise<Page<T>>, about: readonly unknown[]): Pages<T> {
  const [read, setRead] = useState<Page<T>>({ items: [], next_cursor: null });
  const live = connection.value.name === "up-to-date";
  /** Incremented by each first page, so that a later page of an earlier list is discarded. */
  const generation = useRef(0);
  useEffect(() => {
    const mine = ++generation.current;
    if (live) {
      list({ limit: PAGE_SIZE }).then((page) => {
        if (generation.current === mine) {
          setRead(page);
        }
      }, showError);
    }
    return () => {
      generation.current++;
    };
  }, [...about, live]);
  const { items, next_cursor: cursor } = read;
  const more = (): void => {
    const mine = generation.current;
    list({ limit: PAGE_SIZE, cursor: cursor ?? "" }).then((page) => {
      if (generation.current === mine) {
        setRead({ items: [...items, ...page.items], next_cursor: page.next_cursor });
      }
    }, showError);
  };
  return { items, more: cursor === null ? undefined : more };
}
