/** Lets owners and admins add, invite, remove and ban people. */

import type { CandidateState, Invitation, Role } from "@parley/client";

import { t } from "../i18n";
import type { ChannelState } from "./channel-state";
import { loadMembers } from "./channels";
import { sdk } from "./client";
import { attempt, succeeds, toast, type ToastAction } from "./toasts";

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

/**
 * removePerson removes a member and shows a toast. Where possible, the toast offers to add the user
 * again, to invite them again, or to lift the ban.
 */
export async function removePerson(state: ChannelState, userID: string, name: string, ban: boolean): Promise<void> {
  const role = state.members.peek()?.find((m) => m.user_id === userID)?.role ?? "member";
  await sdk().rest.removeMember(state.id, userID, { ban });
  state.outsidersVersion.value++;
  await attempt(() => loadMembers(state));
  const texts = t().removeMember;
  toast(ban ? texts.banned(name) : texts.removed(name), "info", await wayBack(state, userID, name, role));
}

/**
 * wayBack returns the action that the toast offers after a user has been removed: adding them
 * again, inviting them again, or lifting the ban. It returns undefined if no action is known to be
 * possible.
 */
async function wayBack(state: ChannelState, userID: string, name: string, role: Role): Promise<ToastAction | undefined> {
  // Only owners may assign roles. An admin can remove only members without a role, so no role is
  // lost.
  const add = (): Promise<CandidateState | undefined> => addPerson(state, userID, state.role === "owner" ? role : "member");
  const bringBack = async (): Promise<void> => {
    if ((await add()) === "invited") {
      toast(t().addMember.invitedPerson(name));
    }
  };
  switch (await candidateState(state, userID)) {
    case "addable":
      return { label: t().common.undo, run: () => void bringBack() };
    case "invitable":
      return { label: t().removeMember.inviteAgain, run: () => void bringBack() };
    case "banned":
      return { label: t().members.liftBan, run: () => void liftBan(state, userID, name).then(() => state.outsidersVersion.value++) };
    default:
      return undefined;
  }
}

async function candidateState(state: ChannelState, userID: string): Promise<CandidateState | undefined> {
  try {
    return (await sdk().rest.getCandidates(state.id, { ids: [userID] })).items[0]?.state;
  } catch {
    return undefined; // the member is removed; only the offer is missing
  }
}

/**
 * withdrawInvitation withdraws an invitation. It returns false if the server refused; the list is
 * then read again.
 */
export async function withdrawInvitation(state: ChannelState, invitation: Invitation, name: string): Promise<boolean> {
  const withdrawn = await done(state, () => sdk().rest.withdrawInvitation(invitation.id));
  if (withdrawn) {
    toast(t().members.invitationCanceled(name));
  }
  return withdrawn;
}

/**
 * liftBan lifts a ban and offers to undo that. It returns false if the server refused; the list is
 * then read again.
 */
export async function liftBan(state: ChannelState, userID: string, name: string): Promise<boolean> {
  const lifted = await done(state, () => sdk().rest.unbanUser(state.id, userID));
  if (lifted) {
    const ban = async (): Promise<void> => {
      await attempt(() => sdk().rest.banUser(state.id, userID));
      state.outsidersVersion.value++;
    };
    toast(t().members.banLifted(name), "info", { label: t().common.undo, run: () => void ban() });
  }
  return lifted;
}

/**
 * done sends a request and reports whether it succeeded. After a failure, the lists are read again.
 */
async function done(state: ChannelState, request: () => Promise<unknown>): Promise<boolean> {
  const succeeded = await succeeds(request);
  if (!succeeded) {
    state.outsidersVersion.value++;
  }
  return succeeded;
}
