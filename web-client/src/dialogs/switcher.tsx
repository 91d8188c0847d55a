/** Opens a channel by a few letters of its name. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { ChannelMark } from "../components/channel-link";
import { Dialog } from "../components/dialog";
import { t } from "../i18n";
import { composing } from "../lib/composing";
import { rankTitles } from "../lib/rank";
import { directChannels, namedChannels } from "../state/channels";
import { closeDialog } from "../state/dialog";
import { openChannel } from "../state/route";
import { testids } from "../testids";

const MAX_RESULTS = 12;

export default function Switcher(): JSX.Element {
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState(0);
  const all = [...namedChannels.value, ...directChannels.value];
  const found =
    query.trim() === ""
      ? [...all].sort((a, b) => b.unread.value - a.unread.value || b.activeAt.value - a.activeAt.value).slice(0, MAX_RESULTS)
      : rankTitles(all, (c) => c.title.value, query, MAX_RESULTS);
  const go = (index: number): void => {
    const state = found[index];
    if (state !== undefined) {
      closeDialog();
      openChannel(state.id);
    }
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (composing(event)) {
      return;
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0 && found.length > 0) {
      event.preventDefault();
      setChosen((chosen + step + found.length) % found.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      go(chosen);
    }
  };
  return (
    <Dialog title={t().switcher.title} size="small">
      <input
        class="switcher-field"
        type="text"
        role="combobox"
        aria-label={t().switcher.field}
        aria-expanded={found.length > 0}
        aria-controls="switcher-list"
        aria-activedescendant={found.length > 0 ? `switcher-${chosen}` : undefined}
        placeholder={t().switcher.field}
        autocomplete="off"
        data-autofocus=""
        value={query}
        onInput={(e) => {
          setQuery(e.currentTarget.value);
          setChosen(0);
        }}
        onKeyDown={onKeyDown}
        data-testid={testids.switcherField}
      />
      <ul id="switcher-list" class="switcher-list" role="listbox" aria-label={t().switcher.list}>
        {found.map((state, i) => (
          <li
            key={state.id}
            id={`switcher-${i}`}
            role="option"
            aria-selected={i === chosen}
            class="switcher-result"
            onClick={() => go(i)}
            onMouseMove={() => setChosen(i)}
            data-testid={testids.switcherResult}
          >
            <ChannelMark state={state} />
            <span class="channel-title">{state.title.value}</span>
            {state.unread.value > 0 && <span class="count">{state.unread.value}</span>}
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="section-empty">{t().switcher.none}</p>}
    </Dialog>
  );
}
