/** The members who are typing in the channel. */

import type { JSX } from "preact";

import { t } from "../i18n";
import type { ChannelState } from "../state/channel-state";
import { nameOf, person } from "../state/people";
import { testids } from "../testids";

export function TypingLine({ state }: { readonly state: ChannelState }): JSX.Element {
  const names = state.typists.value.map((id) => nameOf(person(id).value));
  const [first, second] = names;
  const words =
    first === undefined
      ? ""
      : second === undefined
        ? t().typing.one(first)
        : names.length === 2
          ? t().typing.two(first, second)
          : t().typing.more(first, second, names.length - 2);
  return (
    <div class="typing" data-testid={testids.typing}>
      {words}
    </div>
  );
}
