/** Signing in and out, and the start and end of a session. */

import { ApiError, type EndReason, type LogIn, type Me, type SignUp } from "@parley/client";

import { t } from "../i18n";
import { restoreChannels } from "./channels";
import { identify, sdk } from "./client";
import { resetCompose } from "./compose";
import { startedOffline } from "./connection";
import { forgetDrafts, forgetDraftsOfOthers } from "./drafts";
import { restoreGroups } from "./groups";
import { arrive } from "./join";
import { begin, end } from "./lifecycle";
import { me, session } from "./me";
import { copiedUser, eraseCopy, takeCopy, updateCopiedUser } from "./offline-store";
import { learnMe } from "./people";
import { recentEmoji } from "./preferences";
import { navigate, route } from "./route";

/**
 * MAX_START_WAIT_MS is how long the page waits for the server if it can start from the offline copy
 * instead.
 */
const MAX_START_WAIT_MS = 3_000;

/**
 * resumeSession continues the session that this browser has, if any. If the server is unreachable,
 * it starts from the offline copy.
 */
export async function resumeSession(): Promise<void> {
  // Do not request the user's profile without a session: the request would be refused, and the
  // browser would log an error on every first visit.
  if (!sdk().hasSession) {
    eraseCopy();
    session.value = { name: "signed-out" };
    return;
  }
  session.value = { name: "unknown" };
  const copied = copiedUser();
  try {
    const answer = sdk().rest.getMe();
    enter(await (copied === undefined ? answer : within(MAX_START_WAIT_MS, answer)));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      leave();
    } else if (copied !== undefined) {
      enterOffline(copied);
    } else {
      session.value = { name: "unreachable" };
    }
  }
}

/** within rejects if the promise takes longer than the given time. */
function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  return Promise.race([answer, new Promise<never>((_, reject) => setTimeout(reject, ms, new Error("no answer in time")))]);
}

/**
 * linkedChannel returns the channel whose link led to the sign-in screen. If a session ended while
 * a channel was open, the channel's address does not count as a link.
 */
export function linkedChannel(): string | undefined {
  const at = route.value;
  const ended = session.value.name === "signed-out" && session.value.notice !== undefined;
  return at.name === "channel" && !ended ? at.channelID : undefined;
}

/**
 * signUp creates an account. If the new user followed a link to a channel, signUp also joins the
 * channel if it is open to them.
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

/**
 * Whether this page is ending the session itself. If so, no notice explains the end of the session.
 */
let leaving = false;

export async function logOut(): Promise<void> {
  leaving = true;
  try {
    await sdk().rest.logOut();
  } catch (error) {
    // If the server does not respond, the cookies are still valid. Report the error, so that the
    // user knows that they are still signed in.
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
    updateCopiedUser(me);
  }
}

/** leave ends the session and shows the sign-in screen, with an optional notice. */
function leave(notice?: string): void {
  // Remove private data, no matter how the session ended. Another user may already be signed in, in
  // another tab.
  forgetDrafts(me()?.id);
  eraseCopy(me()?.id);
  resetCompose();
  recentEmoji.value = [];
  end();
  session.value = notice === undefined ? { name: "signed-out" } : { name: "signed-out", notice };
}

/**
 * enterOffline starts from the offline copy, and reads the user's profile once the client is
 * connected.
 */
function enterOffline(me: Me): void {
  startedOffline.value = true;
  enter(me);
  const client = sdk();
  client.upToDate().then(async () => setMe(await client.rest.getMe())).catch(() => undefined);
}

function enter(me: Me): void {
  forgetDraftsOfOthers(me.id);
  takeCopy(me);
  identify(me.id);
  session.value = { name: "signed-in", me };
  setMe(me);
  if (startedOffline.peek()) {
    restoreChannels();
    restoreGroups();
  }
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
