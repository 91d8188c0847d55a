/** The names that complete what is typed behind an @. The composer has the focus and steers it. */

import type { JSX } from "preact";

import type { Name } from "./composer";

interface MentionListProps {
  readonly names: readonly Name[];
  readonly chosen: number;
  readonly onPick: (name: string) => void;
}

export function MentionList({ names, chosen, onPick }: MentionListProps): JSX.Element {
  return (
    <ul id="mention-list" class="mention-list" role="listbox" aria-label="Names">
      {names.map(({ name, about }, i) => (
        <li
          key={name}
          id={`mention-${i}`}
          role="option"
          aria-selected={i === chosen}
          onMouseDown={(event) => {
            // The composer keeps the focus.
            event.preventDefault();
            onPick(name);
          }}
        >
          <strong>@{name}</strong> <span>{about}</span>
        </li>
      ))}
    </ul>
  );
}
