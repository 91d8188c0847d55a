/** Keyboard shortcuts that work everywhere in the chat. */

import { composing } from "../lib/composing";
import { openState } from "./channels";
import type { ChannelState } from "./channel-state";
import { dialog, openDialog, question } from "./dialog";
import { openChannel } from "./route";
import { sections } from "./sections";

export function handleShortcut(event: KeyboardEvent): void {
  if (dialog.value !== undefined || question.value !== undefined || composing(event)) {
    return;
  }
  const command = event.ctrlKey || event.metaKey;
  if (command && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openDialog({ name: "switcher" });
  } else if (command && event.key === "/") {
    event.preventDefault();
    openDialog({ name: "shortcuts" });
  } else if (event.altKey && !command && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    const next = neighbour(event.key === "ArrowDown" ? 1 : -1, event.shiftKey);
    if (next !== undefined) {
      openChannel(next.id);
    }
  }
}

/**
 * neighbour returns the previous or next channel in the list. It wraps around at the ends of the
 * list.
 */
function neighbour(step: number, unread: boolean): ChannelState | undefined {
  const all = sections.value.flatMap((section) => section.channels);
  const at = all.findIndex((c) => c === openState.value);
  for (let i = 1; i <= all.length; i++) {
    const begin = at < 0 && step < 0 ? 0 : at;
    const candidate = all[(begin + step * i + all.length * 2) % all.length];
    if (candidate !== undefined && (!unread || candidate.unread.value > 0)) {
      return candidate;
    }
  }
  return undefined;
}
