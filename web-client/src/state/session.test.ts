// @vitest-environment happy-dom
import { ApiError, type EndReason, type Me } from "@parley/client";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { draftOf, keepDraft } from "./drafts";
import { editing } from "./compose";
import { recentEmoji } from "./preferences";
import { t } from "../i18n";
import { session } from "./me";
import { navigate, route } from "./route";
import { logIn, logOut, resumeSession } from "./session";

const asked = vi.hoisted(() => ({ me: vi.fn(), logOut: vi.fn(), end: undefined as ((reason: EndReason) => void) | undefined }));
vi.mock("./client", () => ({
  sdk: () => ({ hasSession: true, rest: { getMe: asked.me, logIn: async () => ({ user: await asked.me() }), logOut: asked.logOut } }),
}));
vi.mock("./lifecycle", () => ({
  begin: (_: string, onEnd: (reason: EndReason) => void) => {
    asked.end = onEnd;
  },
  end: () => undefined,
}));

const user = (id: string): Me => ({ id, username: id, display_name: "", avatar_url: "" }) as Me;

async function signIn(id: string): Promise<void> {
  asked.me.mockResolvedValue(user(id));
  await logIn({ login: id, password: "x" });
}

beforeEach(() => {
  localStorage.clear();
  asked.logOut.mockResolvedValue(undefined);
});

describe("the end of a session", () => {
  const ends: readonly (readonly [string, () => void | Promise<void>])[] = [
    ...(["unauthenticated", "session-revoked", "other-user", "refused"] as const).map((reason) => [reason, () => asked.end?.(reason)] as const),
    ["log out", logOut],
  ];
  it.each(ends)("by %s removes private data", async (_, ends) => {
    await signIn("ann");
    keepDraft("ann", "c", "for nobody else");
    recentEmoji.value = ["👍"];
    editing.value = "m";
    await ends();
    expect(session.value.name).toBe("signed-out");
    expect(localStorage.getItem("parley.draft.ann.c")).toBeNull();
    await signIn("bob");
    expect([draftOf("bob", "c"), draftOf("ann", "c"), recentEmoji.value, editing.value]).toEqual(["", "", [], undefined]);
  });

  it("keeps the draft of another user who has signed in in another tab", async () => {
    await signIn("ann");
    keepDraft("ann", "c", "ann's");
    localStorage.setItem("parley.draft.bob.c", JSON.stringify("bob's"));
    asked.end?.("other-user");
    expect([draftOf("bob", "c"), draftOf("ann", "c")]).toEqual(["bob's", ""]);
  });

  it("by the user has no reason and forgets the open channel, even if the gateway reports it first", async () => {
    await signIn("ann");
    navigate({ name: "channel", channelID: "0b9d3f52-6a07-4a39-a6f5-0d9e3cbb6b0a" });
    asked.logOut.mockImplementation(async () => asked.end?.("session-revoked"));
    await logOut();
    expect(session.value).toEqual({ name: "signed-out" });
    expect(route.value).toEqual({ name: "home" });
    await signIn("ann");
    asked.end?.("session-revoked");
    expect(session.value).toEqual({ name: "signed-out", notice: t().ended.revoked });
  });

  it("while no page was open removes drafts at the next start", async () => {
    localStorage.setItem("parley.draft.ann.c", JSON.stringify("ann's"));
    asked.me.mockRejectedValue(Object.assign(Object.create(ApiError.prototype) as ApiError, { status: 401 }));
    await resumeSession();
    expect(localStorage.getItem("parley.draft.ann.c")).toBeNull();
    localStorage.setItem("parley.draft.ann.c", JSON.stringify("ann's"));
    await signIn("bob");
    expect(localStorage.getItem("parley.draft.ann.c")).toBeNull();
  });

  it("does not happen at a reload, which keeps drafts", async () => {
    localStorage.setItem("parley.draft.ann.c", JSON.stringify("ann's"));
    asked.me.mockResolvedValue(user("ann"));
    await resumeSession();
    expect(draftOf("ann", "c")).toBe("ann's");
  });
});
