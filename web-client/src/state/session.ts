/** Who is logged in here. */

import { ApiError, type EndReason, type LogIn, type Me, type SignUp } from "@parley/client";
import { signal } from "@preact/signals";

import { sdk } from "./client";
import { resetCompose } from "./compose";
import { forgetDrafts, forgetDraftsOfOthers } from "./drafts";
import { learnMe } from "./people";
import { recentEmoji } from "./preferences";
import { begin, end } from "./lifecycle";

export type Session =
  /** Asking the server. */
  | { readonly name: "unknown" }
  | { readonly name: "signed-out"; readonly notice?: string }
  | { readonly name: "unreachable" }
  | { readonly name: "signed-in"; readonly me: Me };

export const session = signal<Session>({ name: "unknown" });

/** Goes on with the session that this browser has, if it has one. */
export async function resumeSession(): Promise<void> {
  // Without one a request would be refused: a first visit need not begin with that.
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

export async function signUp(body: SignUp): Promise<void> {
  const { user } = await sdk().rest.signUp(body);
  enter(user ?? (await sdk().rest.getMe()));
}

export async function logIn(body: LogIn): Promise<void> {
  const { user } = await sdk().rest.logIn(body);
  enter(user ?? (await sdk().rest.getMe()));
}

export async function logOut(): Promise<void> {
  try {
    await sdk().rest.logOut();
  } catch (error) {
    // Without an answer the cookies are still there: staying logged in unknowingly would be worse than being told.
    if (!(error instanceof ApiError && error.status === 401)) {
      throw error;
    }
  }
  leave();
}

export function setMe(me: Me): void {
  learnMe(me);
  if (session.value.name === "signed-in") {
    session.value = { name: "signed-in", me };
  }
}

/** The session is over: back to the door, with the reason. */
export function leave(notice?: string): void {
  // What is private goes with the session, however it ended. Another user may be logged in already, in another tab.
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
  begin(me.id, (reason) => leave(noticeOf(reason)));
}

function noticeOf(reason: EndReason): string | undefined {
  switch (reason) {
    case "closed":
      return undefined;
    case "unauthenticated":
      return "Your session has expired. Please log in again.";
    case "session-revoked":
      return "This session was ended from another device. Please log in again.";
    case "other-user":
      return "Somebody else has logged in with this browser.";
    case "refused":
      return "The server wants no more of this page. Reload it, or log in again.";
  }
}

export const me = (): Me | undefined => (session.value.name === "signed-in" ? session.value.me : undefined);
export const myID = (): string => me()?.id ?? "";
