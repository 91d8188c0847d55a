/** This user's open invitations. */

import { allPages, type Invitation } from "@parley/client";
import { signal } from "@preact/signals";

import { addChannel } from "./channels";
import { sdk } from "./client";
import { openDialog } from "./dialog";
import { openChannel } from "./route";
import { attempt } from "./toasts";

export const invitations = signal<readonly Invitation[]>([]);

export async function loadInvitations(): Promise<void> {
  invitations.value = await allPages((at) => sdk().rest.listInvitations({ limit: 200, ...at }));
}

/** accept accepts an invitation and opens the channel or group. */
export async function accept(invitation: Invitation): Promise<void> {
  if (!(await answer(invitation, () => sdk().rest.acceptInvitation(invitation.id)))) {
    return;
  }
  const { channel_id: channelID, group_id: groupID } = invitation;
  if (groupID !== null) {
    openDialog({ name: "groups", groupID });
  } else if (channelID !== null) {
    await attempt(async () => {
      addChannel(await sdk().rest.getChannel(channelID));
      openChannel(channelID);
    });
  }
}

export async function decline(invitation: Invitation): Promise<void> {
  await answer(invitation, () => sdk().rest.declineInvitation(invitation.id));
}

/**
 * answer accepts or declines an invitation. If that fails, it reloads the invitations from the
 * server and returns false.
 */
async function answer(invitation: Invitation, send: () => Promise<void>): Promise<boolean> {
  let sent = false;
  await attempt(async () => {
    await send();
    sent = true;
  });
  if (sent) {
    invitations.value = invitations.value.filter((other) => other.id !== invitation.id);
  } else {
    await attempt(loadInvitations);
  }
  return sent;
}
