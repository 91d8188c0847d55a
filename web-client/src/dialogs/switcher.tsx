/**
 * Opens a channel or a conversation after the user has typed a few letters of its name. It offers
 * the user's own channels, people, public channels to join, and a channel to create.
 */

import type { ChannelDetails, User } from "@parley/client";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Avatar } from "../components/avatar";
import { ChannelMark } from "../components/channel-link";
import { Dialog } from "../components/dialog";
import { Icon } from "../components/icon";
import { t } from "../i18n";
import { composing } from "../lib/composing";
import { rankTitles } from "../lib/rank";
import type { ChannelState } from "../state/channel-state";
import { addChannel, directChannels, namedChannels } from "../state/channels";
import { sdk } from "../state/client";
import { closeDialog, openDialog } from "../state/dialog";
import { openDirect } from "../state/direct";
import { nameOf, person } from "../state/people";
import { openChannel } from "../state/route";
import { attempt } from "../state/toasts";
import { testids } from "../testids";
import { useSearch } from "./switcher-search";

const MAX_OWN = 12;

interface Result {
  readonly key: string;
  readonly mark: JSX.Element;
  readonly title: string;
  /** A short description; empty for the user's own channels. */
  readonly note: string;
  readonly unread: number;
  readonly choose: () => void;
}

export default function Switcher(): JSX.Element {
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState(0);
  const results = useResults(query);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (composing(event)) {
      return;
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0 && results.length > 0) {
      event.preventDefault();
      setChosen((chosen + step + results.length) % results.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      results[chosen]?.choose();
    }
  };
  return (
    <Dialog title={t().switcher.title} size="small">
      <input
        class="switcher-field"
        type="text"
        role="combobox"
        aria-label={t().switcher.field}
        aria-expanded={results.length > 0}
        aria-controls="switcher-list"
        aria-activedescendant={results.length > 0 ? `switcher-${chosen}` : undefined}
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
        {results.map((result, i) => (
          <li
            key={result.key}
            id={`switcher-${i}`}
            role="option"
            aria-selected={i === chosen}
            class="switcher-result"
            onClick={result.choose}
            onMouseMove={() => setChosen(i)}
            data-testid={testids.switcherResult}
          >
            {result.mark}
            <span class="channel-title" dir="auto">
              {result.title}
            </span>
            {result.note !== "" && <span class="role">{result.note}</span>}
            {result.unread > 0 && <span class="count">{result.unread}</span>}
          </li>
        ))}
      </ul>
      {results.length === 0 && <p class="section-empty">{t().switcher.none}</p>}
    </Dialog>
  );
}

/**
 * useResults returns the results for a query. The user's own channels come first and are shown
 * immediately. The server's results are added below them, so that the selected result does not
 * move.
 */
function useResults(query: string): readonly Result[] {
  const found = useSearch(query);
  const all = [...namedChannels.value, ...directChannels.value];
  const wanted = query.trim();
  if (wanted === "") {
    const recent = [...all].sort((a, b) => b.unread.value - a.unread.value || b.activeAt.value - a.activeAt.value);
    return recent.slice(0, MAX_OWN).map(own);
  }
  const peers = new Set(all.map((c) => c.details.value?.peer?.user_id));
  const name = wanted.replace(/^#/, "");
  const taken = all.some((c) => c.kind !== "direct" && c.title.value.toLowerCase() === name.toLowerCase());
  return [
    ...rankTitles(all, (c) => c.title.value, wanted.replace(/^[@#]/, ""), MAX_OWN).map(own),
    ...found.users.filter((user) => !peers.has(user.id)).map(someone),
    ...found.channels.map(publicChannel),
    ...(found.query === wanted && !taken && name !== "" && !name.startsWith("@") ? [creation(name)] : []),
  ];
}

const own = (state: ChannelState): Result => ({
  key: state.id,
  mark: <ChannelMark state={state} />,
  title: state.title.value,
  note: "",
  unread: state.unread.value,
  choose: () => {
    closeDialog();
    openChannel(state.id);
  },
});

const someone = (user: User): Result => ({
  key: user.id,
  mark: <Avatar userID={user.id} name={user.username} size="small" />,
  title: nameOf(person(user.id).value, user.username),
  note: `@${user.username}`,
  unread: 0,
  choose: () => void openDirect(user.id),
});

const publicChannel = (channel: ChannelDetails): Result => ({
  key: channel.id,
  mark: <Icon name="hash" size={16} />,
  title: channel.name,
  note: t().switcher.join,
  unread: 0,
  choose: () => void join(channel.id),
});

const creation = (name: string): Result => ({
  key: "create",
  mark: <Icon name="plus" size={16} />,
  title: t().switcher.create(name),
  note: "",
  unread: 0,
  choose: () => openDialog({ name: "create-channel", channelName: name }),
});

async function join(channelID: string): Promise<void> {
  const details = await attempt(() => sdk().rest.joinChannel(channelID));
  if (details !== undefined) {
    addChannel(details);
    closeDialog();
    openChannel(channelID);
  }
}
