// @vitest-environment happy-dom
import type { Member, Role } from "@parley/client";
import { expect, it, vi } from "vitest";

import { successor } from "./leave";

vi.mock("./client", () => ({ sdk: () => undefined }));

const member = (user_id: string, role: Role, joined_at: string): Member => ({ user_id, role, joined_at, username: user_id, display_name: "", avatar_url: "" }) as unknown as Member;
const me = member("me", "owner", "2026-01-01T00:00:00.000Z");

it.each([
  ["the longest-standing admin", [member("b", "admin", "2026-01-05T00:00:00.000Z"), member("c", "admin", "2026-01-03T00:00:00.000Z"), member("d", "member", "2026-01-02T00:00:00.000Z")], "c"],
  ["the longest-standing member", [member("b", "member", "2026-01-05T00:00:00.000Z"), member("c", "member", "2026-01-03T00:00:00.000Z")], "c"],
  ["the lower id if both joined at the same time", [member("c", "member", "2026-01-03T00:00:00.000Z"), member("b", "member", "2026-01-03T00:00:00.000Z")], "b"],
  ["nobody if there is another owner", [member("b", "owner", "2026-01-05T00:00:00.000Z"), member("c", "admin", "2026-01-03T00:00:00.000Z")], undefined],
] as const)("the next owner is %s", (_, others, want) => {
  expect(successor([me, ...others], "me")?.user_id).toBe(want);
});
