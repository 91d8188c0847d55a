/**
 * The suggested completions for the text that is typed after an @. The composer keeps the focus and
 * handles the keys.
 */

import type { JSX } from "preact";

import { t } from "../i18n";

export interface Suggestion {
  readonly name: string;
  readonly about: string;
}

interface MentionListProps {
  readonly names: readonly Suggestion[];
  readonly chosen: number;
  readonly onPick: (name: string) => void;
}

export function MentionList({ names, chosen, onPick }: MentionListProps): JSX.Element {
  return (
    <ul id="mention-list" class="mention-list" role="listbox" aria-label={t().composer.names}>
      {names.map(({ name, about }, i) => (
        <li
          key={name}
          id={`mention-${i}`}
          role="option"
          aria-selected={i === chosen}
          onMouseDown={(event) => {
            // Prevents the composer from losing the focus.
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
