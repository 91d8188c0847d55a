/** The members who are typing in the channel. */

import type { JSX } from "preact";

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
        ? `${first} is typing…`
        : names.length === 2
          ? `${first} and ${second} are typing…`
          : `${first}, ${second} and ${names.length - 2} more are typing…`;
  return (
    <div class="typing" data-testid={testids.typing}>
      {words}
    </div>
  );
}
