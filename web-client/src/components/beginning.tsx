/** The text above the first message in a channel. */

import type { JSX } from "preact";

import { t } from "../i18n";
import { dateLabel } from "../lib/dates";
import type { ChannelState } from "../state/channel-state";
import { openDialog } from "../state/dialog";
import { copyLink } from "../state/share";
import { Button } from "./button";
import { ChannelMark } from "./channel-link";

interface BeginningProps {
  readonly state: ChannelState;
  readonly rowKey: string;
}

export function Beginning({ state, rowKey }: BeginningProps): JSX.Element {
  const details = state.details.value;
  const title = state.title.value;
  return (
    <div role="listitem" data-row={rowKey} class="row-beginning">
      <div class="beginning-mark">
        <ChannelMark state={state} />
      </div>
      <h2>{state.kind === "direct" ? title : `#${title}`}</h2>
      {state.kind === "direct" ? (
        <p>{t().beginning.direct}</p>
      ) : (
        <>
          <p>
            {details === undefined ? t().beginning.channel : t().beginning.channelSince(dateLabel(Date.parse(details.created_at)))} {details?.description}
          </p>
          <div class="beginning-actions">
            {state.kind !== "private" && <Button onClick={() => void copyLink(state.id)}>{t().common.copyLink}</Button>}
            {state.manages && <Button onClick={() => openDialog({ name: "add-member", channelID: state.id })}>{t().common.addPeople}</Button>}
          </div>
        </>
      )}
    </div>
  );
}
