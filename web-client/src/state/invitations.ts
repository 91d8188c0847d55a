/** This user's open invitations. */

import { allPages, type Invitation } from "@parley/client";
import { signal } from "@preact/signals";

import { sdk } from "./client";
import { attempt } from "./toasts";

export const invitations = signal<readonly Invitation[]>([]);

export async function loadInvitations(): Promise<void> {
  invitations.value = await allPages((at) => sdk().rest.listInvitations({ limit: 200, ...at }));
}

export const accept = (invitation: Invitation): Promise<void> => answer(invitation, () => sdk().rest.acceptInvitation(invitation.id));
export const decline = (invitation: Invitation): Promise<void> => answer(invitation, () => sdk().rest.declineInvitation(invitation.id));

/**
 * answer accepts or declines an invitation. If that fails, the invitations are reloaded from the
 * server.
 */
async function answer(invitation: Invitation, send: () => Promise<void>): Promise<void> {
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
}
