/** One line that quotes the message being replied to and links to it. */

import type { JSX } from "preact";
import { useComputed } from "@preact/signals";

import { t } from "../i18n";
import { plainText } from "../state/bodies";
import type { ChannelState } from "../state/channel-state";
import { showMessage } from "../state/compose";
import { nameOf, person } from "../state/people";
import { testids } from "../testids";
import { Icon } from "./icon";

interface QuoteProps {
  readonly state: ChannelState;
  readonly id: string;
}

export function Quote({ state, id }: QuoteProps): JSX.Element {
  // Only changes to the quoted message re-render this component, not every message in the channel.
  const quoted = useComputed(() => state.log.value?.messages.find((m) => m.id === id)).value;
  const name = quoted === undefined ? "" : nameOf(person(quoted.sender_id).value, quoted.sender_name);
  const text = quoted === undefined ? t().message.quoteEarlier : quoted.deleted_at !== null ? t().message.quoteDeleted : plainText(quoted.body, 120);
  return (
    <button type="button" class="quote" tabIndex={-1} onClick={() => void showMessage(state, id)} data-testid={testids.quote}>
      <Icon name="reply" size={13} />
      <span class="visually-hidden">{t().message.inReplyTo} </span>
      {name !== "" && <strong dir="auto">{name}</strong>}
      <span class="quote-text" dir="auto">{text}</span>
    </button>
  );
}
