// @vitest-environment happy-dom
import type { CandidateState, Channel } from "@parley/client";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { ChannelState } from "./channel-state";
import { removePerson } from "./outsiders";
import { toasts } from "./toasts";

const rest = vi.hoisted(() => ({ removeMember: vi.fn(), listMembers: vi.fn(), getCandidates: vi.fn(), addMember: vi.fn(), unbanUser: vi.fn() }));
vi.mock("./client", () => ({ sdk: () => ({ rest }) }));

const me = { user_id: "me", username: "ann", display_name: "", role: "owner", joined_at: "" } as const;
const bob = { user_id: "bob", username: "bob", display_name: "Bob", role: "admin", joined_at: "" } as const;

let state: ChannelState;

beforeEach(() => {
  vi.clearAllMocks();
  toasts.value = [];
  state = new ChannelState({ id: "c", summary: { kind: "private" }, followed: true } as unknown as Channel);
  state.setDetails({ role: "owner" } as Parameters<ChannelState["setDetails"]>[0]);
  state.members.value = [me, bob];
  rest.listMembers.mockResolvedValue({ items: [me], next_cursor: null });
});

const remove = async (is: CandidateState | Error): Promise<void> => {
  rest.getCandidates.mockImplementation(() => (is instanceof Error ? Promise.reject(is) : Promise.resolve({ items: [{ user_id: "bob", state: is }] })));
  await removePerson(state, "bob", "Bob", is === "banned");
};

describe("the toast after removing a member", () => {
  it.each([
    ["addable", "Removed Bob.", "Undo"],
    ["invitable", "Removed Bob.", "Invite again"],
    ["banned", "Removed and banned Bob.", "Lift ban"],
    ["outside_group", "Removed Bob.", undefined],
    [new Error("offline"), "Removed Bob.", undefined],
  ] as const)("to a user who is %s says %j and offers %j", async (is, text, label) => {
    await remove(is);
    expect(toasts.value.map((t) => [t.text, t.action?.label])).toEqual([[text, label]]);
    expect(state.members.value).toEqual([me]);
  });

  it("gives the role back", async () => {
    rest.addMember.mockResolvedValue(bob);
    await remove("addable");
    toasts.value[0]?.action?.run();
    await vi.waitFor(() => expect(rest.addMember).toHaveBeenCalledWith("c", { user_id: "bob", role: "admin" }));
  });

  it("says so if the user was only invited", async () => {
    rest.addMember.mockResolvedValue({ id: "i", invited_by: "me" });
    await remove("addable");
    toasts.value[0]?.action?.run();
    await vi.waitFor(() => expect(toasts.value.at(-1)?.text).toBe("Invited Bob."));
  });
});
