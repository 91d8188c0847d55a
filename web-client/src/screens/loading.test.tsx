// @vitest-environment happy-dom
import { ApiError, type Channel, type ChannelDetails } from "@parley/client";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ChannelState } from "../state/channel-state";
import { channels, channelsLoaded, forgetChannels } from "../state/channels";
import { ATTEMPTS, FIRST_DELAY_MS, LoadingScreen } from "./loading";

const rest = vi.hoisted(() => ({ getChannel: vi.fn(), listChannels: vi.fn() }));
vi.mock("../state/client", () => ({ sdk: () => ({ rest, channel: (id: string) => ({ id }) }) }));

const details = { id: "tea", name: "tea", kind: "public", unread: 0, unread_mentions: 0 } as ChannelDetails;
let root: HTMLElement;
let state: ChannelState;

const show = (): Promise<void> => act(() => render(<LoadingScreen channelID="tea" />, root));
const wait = (ms: number): Promise<void> => act(() => vi.advanceTimersByTimeAsync(ms).then(() => undefined));
const retry = (): HTMLButtonElement | null => root.querySelector('[data-testid="try-again"]');

beforeEach(() => {
  vi.useFakeTimers();
  rest.getChannel.mockReset().mockRejectedValue(new Error("no answer"));
  rest.listChannels.mockReset().mockRejectedValue(new Error("no answer"));
  root = document.body.appendChild(document.createElement("div"));
  state = new ChannelState({ id: "tea" } as Channel);
  channels.value = new Map([["tea", state]]);
  channelsLoaded.value = true;
});

afterEach(() => {
  render(null, root);
  root.remove();
  forgetChannels();
  vi.useRealTimers();
});

describe("a channel whose details cannot be loaded", () => {
  it("is requested again with growing delays, and then shows an error", async () => {
    await show();
    for (let i = 0; i < ATTEMPTS; i++) {
      const delay = FIRST_DELAY_MS * 2 ** i;
      await wait(delay - 1);
      expect([rest.getChannel.mock.calls.length, retry()]).toEqual([i, null]);
      await wait(1);
    }
    expect(root.querySelector("[role=alert] h1")?.textContent).toBe("Couldn't load this channel");
    await wait(60_000);
    expect(rest.getChannel).toHaveBeenCalledTimes(ATTEMPTS);
  });

  it("is requested at once when the user tries again, and then with delays", async () => {
    await show();
    await wait(FIRST_DELAY_MS * 2 ** ATTEMPTS);
    await act(() => retry()?.click());
    expect([rest.getChannel.mock.calls.length, retry()]).toEqual([ATTEMPTS + 1, null]);
    rest.getChannel.mockResolvedValue(details);
    await wait(FIRST_DELAY_MS);
    expect(state.details.value).toBe(details);
  });

  it("waits for the list of channels first", async () => {
    channelsLoaded.value = false;
    await show();
    await wait(FIRST_DELAY_MS);
    expect([rest.listChannels.mock.calls.length, rest.getChannel.mock.calls.length]).toEqual([1, 0]);
    rest.listChannels.mockResolvedValue({ items: [details], next_cursor: null });
    await wait(2 * FIRST_DELAY_MS);
    expect([channelsLoaded.value, state.details.value?.name]).toEqual([true, "tea"]);
  });

  it("is not requested when it is no longer shown, nor removed unless the user left it", async () => {
    await show();
    await wait(FIRST_DELAY_MS);
    await act(() => render(null, root));
    await wait(60_000);
    expect([rest.getChannel.mock.calls.length, channels.value.size]).toEqual([1, 1]);
    rest.getChannel.mockRejectedValue(new ApiError(404, "not_found", "gone"));
    await show();
    await wait(FIRST_DELAY_MS);
    expect(channels.value.size).toBe(0);
  });
});
