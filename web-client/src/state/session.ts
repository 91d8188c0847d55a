/** Signing in and out, and the start and end of a session. */

import { ApiError, type EndReason, type LogIn, type Me, type SignUp } from "@parley/client";

import { t } from "../i18n";
import { sdk } from "./client";
import { resetCompose } from "./compose";
import { forgetDrafts, forgetDraftsOfOthers } from "./drafts";
import { arrive } from "./join";
import { begin, end } from "./lifecycle";
import { me, session } from "./me";
import { learnMe } from "./people";
import { recentEmoji } from "./preferences";
import { navigate, route } from "./route";

/** resumeSession continues the session that this browser has, if any. */
export async function resumeSession(): Promise<void> {
  // Without a session, the request would be refused, and the browser would log an error on every
  // first visit.
  if (!sdk().hasSession) {
    session.value = { name: "signed-out" };
    return;
  }
  session.value = { name: "unknown" };
  try {
    enter(await sdk().rest.getMe());
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      leave();
    } else {
      session.value = { name: "unreachable" };
    }
  }
}

/**
 * linkedChannel returns the channel whose link led to the sign-in screen. If a session ended while
 * a channel was open, the channel's address is not such a link.
 */
export function linkedChannel(): string | undefined {
  const at = route.value;
  const ended = session.value.name === "signed-out" && session.value.notice !== undefined;
  return at.name === "channel" && !ended ? at.channelID : undefined;
}

/**
 * signUp creates an account. A new user who followed a link to a channel wants to be in it, so they
 * join it if it is open to them.
 */
export async function signUp(body: SignUp): Promise<void> {
  const { user } = await sdk().rest.signUp(body);
  const channelID = linkedChannel();
  enter(user ?? (await sdk().rest.getMe()));
  if (channelID !== undefined) {
    void arrive(channelID);
  }
}

export async function logIn(body: LogIn): Promise<void> {
  const { user } = await sdk().rest.logIn(body);
  enter(user ?? (await sdk().rest.getMe()));
}

/** Whether this page is ending the session itself, so that the end needs no explanation. */
let leaving = false;

export async function logOut(): Promise<void> {
  leaving = true;
  try {
    await sdk().rest.logOut();
  } catch (error) {
    // If the server does not respond, the cookies are still valid, and the user must know that they
    // are still signed in.
    if (!(error instanceof ApiError && error.status === 401)) {
      throw error;
    }
  } finally {
    leaving = false;
  }
  leaveForGood();
}

/** deleteAccount deletes the user's account. */
export async function deleteAccount(password: string): Promise<void> {
  leaving = true;
  try {
    await sdk().rest.deleteMe({ password });
  } finally {
    leaving = false;
  }
  leaveForGood(t().ended.deleted);
}

/**
 * leaveForGood ends the session and forgets the open channel. Otherwise the sign-in screen would
 * treat the channel's address as an invitation.
 */
function leaveForGood(notice?: string): void {
  leave(notice);
  navigate({ name: "home" }, "replace");
}

export function setMe(me: Me): void {
  learnMe(me);
  if (session.value.name === "signed-in") {
    session.value = { name: "signed-in", me };
  }
}

/** leave ends the session and shows the sign-in screen, with an optional notice. */
function leave(notice?: string): void {
  // Private data is removed no matter how the session ended. Another user may already be signed in,
  // in another tab.
  forgetDrafts(me()?.id);
  resetCompose();
  recentEmoji.value = [];
  end();
  session.value = notice === undefined ? { name: "signed-out" } : { name: "signed-out", notice };
}

function enter(me: Me): void {
  forgetDraftsOfOthers(me.id);
  session.value = { name: "signed-in", me };
  setMe(me);
  begin(me.id, (reason) => {
    if (!leaving) {
      leave(noticeOf(reason));
    }
  });
}

function noticeOf(reason: EndReason): string | undefined {
  switch (reason) {
    case "closed":
      return undefined;
    case "unauthenticated":
      return t().ended.expired;
    case "session-revoked":
      return t().ended.revoked;
    case "other-user":
      return t().ended.otherUser;
    case "refused":
      return t().ended.refused;
  }
}
