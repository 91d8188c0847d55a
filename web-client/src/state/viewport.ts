/** Whether the window has room for only one pane. The style sheet uses the same width. */

import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 720px)");

export const narrow = signal(query.matches);

query.addEventListener("change", () => {
  narrow.value = query.matches;
});
