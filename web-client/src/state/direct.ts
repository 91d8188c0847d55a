/** Opening direct channels. */

import { addChannel } from "./channels";
import { sdk } from "./client";
import { closeDialog } from "./dialog";
import { openChannel } from "./route";
import { attempt } from "./toasts";

/** openDirect opens the direct channel with a user; the server creates it if there is none. */
export async function openDirect(userID: string): Promise<void> {
  const details = await attempt(() => sdk().rest.openDirectChannel({ user_id: userID }));
  if (details !== undefined) {
    addChannel(details);
    closeDialog();
    openChannel(details.id);
  }
}
