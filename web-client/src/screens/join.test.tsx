// @vitest-environment happy-dom
import { ApiError, type Channel, type Invitation } from "@parley/client";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ChannelState } from "../state/channel-state";
import { connection } from "../state/connection";
import { forgetDepartures, recordDeparture } from "../state/departures";
import { invitations } from "../state/invitations";
import { testids } from "../testids";
import { JoinScreen } from "./join";

const getChannelPreview = vi.hoisted(() => vi.fn());
vi.mock("../state/client", () => ({ sdk: () => ({ rest: { getChannelPreview } }) }));

const preview = (banned: boolean): object => ({ id: "c", name: "tea", kind: "public", description: "Green", member_count: 3, banned });
const hidden = new ApiError(404, "not_found", "hidden");

let root: HTMLElement;

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
  forgetDepartures();
  invitations.value = [];
  connection.value = { name: "offline" };
});

const show = (): Promise<void> => act(() => render(<JoinScreen channelID="c" />, root)) as Promise<void>;
const title = (): string => root.querySelector("h1")?.textContent ?? "";
const button = (): string | undefined => root.querySelector(`[data-testid="${testids.joinButton}"]`)?.textContent ?? undefined;
const depart = (how: "left" | "removed"): void => recordDeparture(new ChannelState({ id: "c", summary: { name: "tea" } } as unknown as Channel), how);

describe("the page of a channel that the user has not joined", () => {
  it.each([
    ["open", undefined, "Join #tea?", "Join channel"],
    ["open", "left", "You left #tea", "Join again"],
    ["open", "removed", "You were removed from #tea", "Join again"],
    ["banned", undefined, "You can't join #tea", undefined],
    ["banned", "removed", "You can't join #tea", undefined],
    ["hidden", undefined, "You can't open this channel", undefined],
    ["hidden", "left", "You left #tea", undefined],
    ["hidden", "removed", "You were removed from #tea", undefined],
  ] as const)("that is %s (departure: %s) has the title %j and the button %j", async (door, how, wantTitle, wantButton) => {
    getChannelPreview.mockImplementation(() => (door === "hidden" ? Promise.reject(hidden) : Promise.resolve(preview(door === "banned"))));
    if (how !== undefined) {
      depart(how);
    }
    await show();
    await vi.waitFor(() => expect(title()).toBe(wantTitle));
    expect(button()).toBe(wantButton);
  });

  it("offers to accept an invitation to a hidden channel", async () => {
    getChannelPreview.mockRejectedValue(hidden);
    invitations.value = [{ id: "i", channel_id: "c", name: "work", invited_by_name: "ann" } as Invitation];
    await show();
    await vi.waitFor(() => expect(title()).toBe("You are invited to #work"));
    expect(button()).toBe("Accept");
  });

  it("asks again after a reconnection, once", async () => {
    getChannelPreview.mockReset().mockRejectedValueOnce(new Error("offline")).mockResolvedValue(preview(false));
    await show();
    await vi.waitFor(() => expect(title()).toBe("Can't reach the server"));
    await act(() => {
      connection.value = { name: "up-to-date" };
    });
    await vi.waitFor(() => expect(title()).toBe("Join #tea?"));
    expect(getChannelPreview).toHaveBeenCalledTimes(2);
  });
});
