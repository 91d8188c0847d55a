/** Lists the public channels, which the user can open or join. */

import type { ChannelDetails } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Field } from "../components/form";
import { Icon } from "../components/icon";
import { t } from "../i18n";
import { addChannel, channels } from "../state/channels";
import { sdk } from "../state/client";
import { closeDialog } from "../state/dialog";
import { openChannel } from "../state/route";
import { attempt, showError } from "../state/toasts";
import { testids } from "../testids";

const PAGE_SIZE = 50;
const SEARCH_DELAY_MS = 200;

export default function Browse(): JSX.Element {
  const [query, setQuery] = useState("");
  const [found, setFound] = useState<readonly ChannelDetails[] | undefined>(undefined);
  const [cursor, setCursor] = useState<string | null>(null);
  useEffect(() => {
    let current = true;
    const timer = setTimeout(
      () => {
        sdk()
          .rest.listChannels({ limit: PAGE_SIZE, ...(query.trim() === "" ? {} : { query: query.trim() }) })
          .then((page) => {
            if (current) {
              setFound(page.items);
              setCursor(page.next_cursor);
            }
          }, showError);
      },
      found === undefined ? 0 : SEARCH_DELAY_MS,
    );
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [query]);
  const more = async (): Promise<void> => {
    const page = await attempt(() => sdk().rest.listChannels({ limit: PAGE_SIZE, cursor: cursor ?? "", ...(query.trim() === "" ? {} : { query: query.trim() }) }));
    if (page !== undefined) {
      setFound([...(found ?? []), ...page.items]);
      setCursor(page.next_cursor);
    }
  };
  return (
    <Dialog title={t().browse.title}>
      <Field label={t().browse.search} type="search" value={query} onInput={setQuery} autofocus testid={testids.browseSearch} />
      {found?.length === 0 && <p class="section-empty">{query === "" ? t().browse.none : t().browse.notFound}</p>}
      <ul class="results">
        {found?.map((channel) => (
          <Result key={channel.id} channel={channel} />
        ))}
      </ul>
      {cursor !== null && <Button onClick={() => void more()}>{t().common.showMore}</Button>}
    </Dialog>
  );
}

function Result({ channel }: { readonly channel: ChannelDetails }): JSX.Element {
  const joined = channels.value.has(channel.id);
  const open = async (): Promise<void> => {
    const details = joined ? channel : await attempt(() => sdk().rest.joinChannel(channel.id));
    if (details !== undefined) {
      if (!joined) {
        addChannel(details);
      }
      closeDialog();
      openChannel(channel.id);
    }
  };
  return (
    <li class="result" data-testid={testids.browseResult} data-channel-id={channel.id}>
      <span class="person-line">
        <Icon name="hash" />
        <span class="member-names">
          <span class="member-name" dir="auto">{channel.name}</span>
          <span class="member-username">
            {t().common.members(channel.member_count)}
            {channel.description === "" ? "" : ` · ${channel.description}`}
          </span>
        </span>
      </span>
      <span class="result-actions">
        <Button
          tone={joined ? "plain" : "primary"}
          onClick={() => void open()}
          label={joined ? t().common.openChannel(channel.name) : t().common.joinChannel(channel.name)}
        >
          {joined ? t().common.open : t().common.join}
        </Button>
      </span>
    </li>
  );
}
