/**
 * The reactions to a message with their counts. A click adds or removes the user's own reaction.
 */

import type { JSX } from "preact";

import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import type { ChannelState } from "../state/channel-state";
import { nameOf, person } from "../state/people";
import { isSet, react } from "../state/react";
import { testids } from "../testids";

const NAMED = 12;

interface ReactionsProps {
  readonly state: ChannelState;
  readonly message: LoggedMessage;
  readonly reachable: boolean;
}

export function Reactions({ state, message, reachable }: ReactionsProps): JSX.Element {
  return (
    <div class="reactions">
      {message.reactions.map(({ emoji, count, user_ids }) => {
        const names = user_ids.slice(0, NAMED).map((id) => nameOf(person(id).value));
        const listed = names.join(", ");
        const who = count > NAMED ? t().message.andMore(listed, count - NAMED) : listed;
        return (
          <button
            key={emoji}
            type="button"
            class="reaction"
            tabIndex={reachable ? 0 : -1}
            aria-pressed={isSet(message, emoji)}
            aria-label={t().message.reaction(emoji, count, who)}
            title={who}
            onClick={() => react(state, message, emoji)}
            data-testid={testids.reaction}
          >
            <span class="reaction-emoji">{emoji}</span>
            <span>{count}</span>
          </button>
        );
      })}
    </div>
  );
}
