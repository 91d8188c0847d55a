/** usePages reads a list from the server page by page. */

import type { Page, Paging } from "@parley/client";
import { useEffect, useRef, useState } from "preact/hooks";

import { connection } from "../state/connection";
import { showError } from "../state/toasts";

/** PAGE_SIZE is the number of items read initially, and the number that each further page adds. */
const PAGE_SIZE = 50;

export interface Pages<T> {
  readonly items: readonly T[];
  /** Reads the next page; undefined if every item has been read. */
  readonly more: (() => void) | undefined;
}

/**
 * usePages reads the first page. It reads the page again after a reconnection and when a value in
 * `about` changes. Until the page arrives, it returns the earlier items.
 */
export function usePages<T>(list: (paging: Paging) => Promise<Page<T>>, about: readonly unknown[]): Pages<T> {
  const [read, setRead] = useState<Page<T>>({ items: [], next_cursor: null });
  const live = connection.value.name === "up-to-date";
  /**
   * Incremented whenever the first page is read, so that a later page of an outdated list is
   * discarded.
   */
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
