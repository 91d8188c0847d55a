/** Opening direct channels. */

import { blocked } from "./blocks";
import { addChannel } from "./channels";
import { sdk } from "./client";
import { closeDialog, openDialog } from "./dialog";
import { openChannel } from "./route";
import { attempt } from "./toasts";

/**
 * openDirect opens the direct channel with a user; the server creates it if there is none. If this
 * user has blocked the other user, openDirect shows the other user's profile, which offers to lift
 * the block.
 */
export async function openDirect(userID: string): Promise<void> {
  if (blocked.peek().has(userID)) {
    openDialog({ name: "person", userID });
    return;
  }
  const details = await attempt(() => sdk().rest.openDirectChannel({ user_id: userID }));
  if (details !== undefined) {
    addChannel(details);
    closeDialog();
    openChannel(details.id);
  }
}
