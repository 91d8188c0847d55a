/**
 * Adds a reaction to a message: a recently used or common emoji, or one that is found by its name.
 * Any emoji may also be typed or pasted into the search field.
 */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";

import { DialogPopover } from "../components/popover";
import { pageLanguage, t } from "../i18n";
import { knownEmoji, loadEmoji } from "../i18n/emoji";
import { composing } from "../lib/composing";
import { type Emoji, searchEmoji } from "../lib/emoji";
import { nextInGrid } from "../lib/grid";
import type { LoggedMessage } from "../lib/log";
import { bare, withoutRecent } from "../lib/recent-emoji";
import { closePopover, type OpenPopover } from "../state/popover";
import { recentEmoji } from "../state/preferences";
import { channelOf, isSet, react } from "../state/react";
import { toast } from "../state/toasts";
import { touch } from "../state/viewport";
import { testids } from "../testids";

const COMMON = ["👍", "👎", "❤️", "😂", "😮", "😢", "🙏", "🎉", "🔥", "👀", "✅", "❌", "💯", "🚀", "🤔", "👏", "🙌", "💡", "☕️", "🍵", "😅", "😎", "🥳", "🤝"];
const MAX_FOUND = 64;

interface Section {
  readonly title: string;
  readonly emoji: readonly string[];
}

/** unsearched returns the emoji that are offered before the user types anything. */
const unsearched = (recent: readonly string[]): readonly Section[] =>
  [
    { title: t().react.recent, emoji: recent },
    { title: t().react.common, emoji: withoutRecent(recent, COMMON) },
  ].filter(({ emoji }) => emoji.length > 0);

export default function React({ open, message }: { readonly open: OpenPopover; readonly message: LoggedMessage }): JSX.Element {
  const [query, setQuery] = useState("");
  const [active, setActive] = useState("");
  const list = useEmoji();
  const field = useRef<HTMLInputElement>(null);
  const grid = useRef<HTMLDivElement>(null);
  const found = query.trim() === "" ? undefined : searchEmoji(list ?? [], query, MAX_FOUND);
  const sections = found === undefined ? unsearched(recentEmoji.value) : [{ title: t().react.results, emoji: found.map((e) => e.emoji) }];
  const names = useMemo(() => new Map(list?.map((e) => [bare(e.emoji), e.name])), [list]);
  const state = channelOf(message);
  const current = state?.log.value?.messages.find((m) => m.id === message.id) ?? message;
  // Only one emoji is a tab stop; the arrow keys move the focus from there.
  const keys = sections.flatMap(({ emoji }, section) => emoji.map((e) => `${section} ${e}`));
  const stop = keys.includes(active) ? active : keys[0];
  const put = (emoji: string): void => {
    if (state !== undefined) {
      react(state, current, emoji);
    }
    closePopover();
  };
  const onFieldKey = (event: KeyboardEvent): void => {
    const first = found?.[0]?.emoji;
    if (composing(event)) {
      return;
    }
    if (event.key === "Enter" && first !== undefined) {
      event.preventDefault();
      put(first);
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      grid.current?.querySelector<HTMLElement>("button")?.focus();
    }
  };
  const onGridKey = (event: KeyboardEvent): void => {
    const cells = [...(grid.current?.querySelectorAll<HTMLElement>("button") ?? [])];
    const at = cells.findIndex((cell) => cell === document.activeElement);
    const boxes = cells.map((cell) => cell.getBoundingClientRect());
    const next = event.ctrlKey || event.altKey || event.metaKey ? undefined : nextInGrid(boxes, at, event.key);
    if (next !== undefined) {
      event.preventDefault();
      cells[next]?.focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      field.current?.focus();
    }
  };
  return (
    <DialogPopover open={open} title={t().common.react}>
      <input
        ref={field}
        class="emoji-field"
        type="search"
        value={query}
        placeholder={t().react.search}
        aria-label={t().react.search}
        autocomplete="off"
        enterkeyhint="go"
        // Do not focus the field on a phone, where the on-screen keyboard would cover the emoji.
        data-autofocus={touch.peek() ? undefined : ""}
        onInput={(event) => setQuery(event.currentTarget.value)}
        onKeyDown={onFieldKey}
        data-testid={testids.emojiField}
      />
      <div ref={grid} class="emoji-area" onKeyDown={onGridKey}>
        {sections.map(({ title, emoji }, section) => (
          <EmojiSection key={title} title={title}>
            {emoji.map((e) => {
              const key = `${section} ${e}`;
              const name = names.get(bare(e));
              return (
                <button
                  key={e}
                  type="button"
                  class="emoji"
                  tabIndex={key === stop ? 0 : -1}
                  aria-label={name ?? e}
                  aria-pressed={isSet(current, e)}
                  title={name}
                  onFocus={() => setActive(key)}
                  onClick={() => put(e)}
                  data-testid={testids.emoji}
                  data-emoji={e}
                >
                  {e}
                </button>
              );
            })}
          </EmojiSection>
        ))}
      </div>
      <p class="emoji-status" role="status">
        {found === undefined ? "" : list === undefined ? t().common.loading : found.length === 0 ? t().react.none : t().react.found(found.length)}
      </p>
    </DialogPopover>
  );
}

function EmojiSection({ title, children }: { readonly title: string; readonly children: ComponentChildren }): JSX.Element {
  const heading = useId();
  return (
    <div role="group" aria-labelledby={heading}>
      <h3 id={heading} class="emoji-heading">
        {title}
      </h3>
      <div class="emoji-grid">{children}</div>
    </div>
  );
}

/** useEmoji returns all emoji with their names in the page's language, once they are loaded. */
function useEmoji(): readonly Emoji[] | undefined {
  const language = pageLanguage();
  const [, setLoaded] = useState(0);
  useEffect(() => {
    if (knownEmoji(language) === undefined) {
      loadEmoji(language).then(
        () => setLoaded((n) => n + 1),
        () => toast(t().app.partNotLoaded, "error"),
      );
    }
  }, [language]);
  return knownEmoji(language);
}
