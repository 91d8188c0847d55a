// @vitest-environment happy-dom
import { ApiError, type ChannelDetails, type EndReason, type Me } from "@parley/client";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { channels, forgetChannels } from "./channels";
import { draftOf, keepDraft } from "./drafts";
import { editing } from "./compose";
import { recentEmoji } from "./preferences";
import { t } from "../i18n";
import { startedOffline } from "./connection";
import { session } from "./me";
import { copiedChannel, copiedUser, copyChannel, copyList, noteOpened } from "./offline-store";
import { navigate, route } from "./route";
import { logIn, logOut, resumeSession } from "./session";

const asked = vi.hoisted(() => ({ me: vi.fn(), logOut: vi.fn(), hasSession: true, connected: vi.fn(), end: undefined as ((reason: EndReason) => void) | undefined }));
vi.mock("./client", () => ({
  identify: () => undefined,
  sdk: () => ({ hasSession: asked.hasSession, upToDate: asked.connected, channel: (id: string) => ({ id }), rest: { getMe: asked.me, logIn: async () => ({ user: await asked.me() }), logOut: asked.logOut } }),
}));
vi.mock("./lifecycle", () => ({
  begin: (_: string, onEnd: (reason: EndReason) => void) => {
    asked.end = onEnd;
  },
  end: () => undefined,
}));

Object.defineProperty(navigator, "serviceWorker", { value: {} });

const user = (id: string): Me => ({ id, username: id, display_name: "", avatar_url: "" }) as Me;

async function signIn(id: string): Promise<void> {
  asked.me.mockResolvedValue(user(id));
  await logIn({ login: id, password: "x" });
}

const unauthenticated = Object.assign(Object.create(ApiError.prototype) as ApiError, { status: 401 });

/** copyOf stores an offline copy for a user. */
function copyOf(id: string): void {
  copyList(id, { channels: [{ id: "c", name: "tea" } as ChannelDetails], groups: [] });
  noteOpened(id, "c");
  copyChannel(id, "c", { messages: [], atOldest: true, through: 1, people: [] });
}

const copied = (): string[] => Object.keys(localStorage).filter((key) => key.startsWith("parley.offline"));

beforeEach(() => {
  localStorage.clear();
  asked.hasSession = true;
  asked.connected.mockReturnValue(new Promise(() => undefined));
  startedOffline.value = false;
  forgetChannels();
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
    copyOf("ann");
    recentEmoji.value = ["👍"];
    editing.value = "m";
    await ends();
    expect(session.value.name).toBe("signed-out");
    expect(localStorage.getItem("parley.draft.ann.c")).toBeNull();
    expect(copied()).toEqual([]);
    await signIn("bob");
    expect([copiedUser()?.id, copiedChannel("c")]).toEqual(["bob", undefined]);
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

  it("while no page was open removes drafts and the offline copy at the next start", async () => {
    await signIn("ann");
    copyOf("ann");
    localStorage.setItem("parley.draft.ann.c", JSON.stringify("ann's"));
    asked.me.mockRejectedValue(unauthenticated);
    await resumeSession();
    expect(localStorage.getItem("parley.draft.ann.c")).toBeNull();
    expect(copied()).toEqual([]);
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

describe("a start while the server is unreachable", () => {
  const unreachable = new Error("the server is unreachable");

  it("shows the copy, and the current profile once connected", async () => {
    await signIn("ann");
    copyOf("ann");
    asked.me.mockRejectedValue(unreachable);
    let connect = (): void => undefined;
    asked.connected.mockReturnValue(new Promise<void>((resolve) => (connect = resolve)));
    await resumeSession();
    expect([session.value.name, startedOffline.value, [...channels.value.keys()]]).toEqual(["signed-in", true, ["c"]]);
    asked.me.mockResolvedValue({ ...user("ann"), display_name: "Ann" });
    connect();
    await vi.waitFor(() => expect(copiedUser()?.display_name).toBe("Ann"), { timeout: 120_000 });
    expect(session.value).toMatchObject({ name: "signed-in", me: { display_name: "Ann" } });
  });

  it("does not wait long for an answer", async () => {
    await signIn("ann");
    vi.useFakeTimers();
    asked.me.mockReturnValue(new Promise(() => undefined));
    const resumed = resumeSession();
    expect(session.value.name).toBe("unknown");
    await vi.runAllTimersAsync();
    vi.useRealTimers();
    await resumed;
    expect([session.value.name, startedOffline.value]).toEqual(["signed-in", true]);
  });

  it("is not possible without a copy", async () => {
    asked.me.mockRejectedValue(unreachable);
    await resumeSession();
    expect(session.value.name).toBe("unreachable");
  });

  it("is not possible without a session, and the copy is erased", async () => {
    await signIn("ann");
    copyOf("ann");
    asked.hasSession = false;
    await resumeSession();
    expect([session.value.name, copied()]).toEqual(["signed-out", []]);
  });

  it("ends if the server then says that the session is over", async () => {
    await signIn("ann");
    copyOf("ann");
    asked.me.mockRejectedValue(unreachable);
    await resumeSession();
    asked.end?.("unauthenticated");
    expect([session.value.name, copied()]).toEqual(["signed-out", []]);
  });
});
