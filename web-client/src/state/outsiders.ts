/**
 * Users who are not members of a channel but concern its owners and admins: those whom they invite,
 * ban, or add.
 */

import type { CandidateState, Invitation, Role } from "@parley/client";

import { t } from "../i18n";
import type { ChannelState } from "./channel-state";
import { loadMembers } from "./channels";
import { sdk } from "./client";
import { attempt, toast } from "./toasts";

/** addPerson adds a user. It returns the user's new state, or undefined if the server refused. */
export async function addPerson(state: ChannelState, userID: string, role?: Role): Promise<CandidateState | undefined> {
  const answer = await attempt(() => sdk().rest.addMember(state.id, { user_id: userID, ...(role === undefined ? {} : { role }) }));
  if (answer === undefined) {
    return undefined;
  }
  state.outsidersVersion.value++;
  if ("invited_by" in answer) {
    return "invited";
  }
  await attempt(() => loadMembers(state));
  return "member";
}

/** withdrawInvitation withdraws an invitation. The list is read again even if that fails. */
export async function withdrawInvitation(state: ChannelState, invitation: Invitation, name: string): Promise<void> {
  await attempt(async () => {
    await sdk().rest.withdrawInvitation(invitation.id);
    toast(t().members.invitationCanceled(name));
  });
  state.outsidersVersion.value++;
}

/** liftBan lifts a ban and offers to undo that. It returns false if the server refused. */
export async function liftBan(state: ChannelState, userID: string, name: string): Promise<boolean> {
  const lifted = await attempt(async () => {
    await sdk().rest.unbanUser(state.id, userID);
    return true;
  });
  state.outsidersVersion.value++;
  if (lifted !== true) {
    return false;
  }
  const ban = async (): Promise<void> => {
    await attempt(() => sdk().rest.banUser(state.id, userID));
    state.outsidersVersion.value++;
  };
  toast(t().members.banLifted(name), "info", { label: t().common.undo, run: () => void ban() });
  return true;
}
