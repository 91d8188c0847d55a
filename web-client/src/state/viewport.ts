/** Whether there is room for one pane alone. The style sheet has the same width. */

import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 720px)");

export const narrow = signal(query.matches);

query.addEventListener("change", () => {
  narrow.value = query.matches;
});
