// @vitest-environment happy-dom
import type { Channel, ChannelDetails, ChannelEvent, Me, Message } from "@parley/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { MessageLog } from "../lib/log";
import type { ChannelState } from "./channel-state";
import { addChannel, channelsLoaded, forgetChannels, removeChannel } from "./channels";
import { Copier } from "./offline-copy";
import { copiedChannel, copiedList, eraseCopy, takeCopy } from "./offline-store";
import { forgetPeople, learn } from "./people";
import { navigate } from "./route";

vi.mock("./client", () => ({ sdk: () => ({ channel: (id: string): Channel => ({ id, followed: false, readSeq: 0 }) as Channel }) }));
Object.defineProperty(navigator, "serviceWorker", { value: {} });

const tea = "0b9d3f52-6a07-4a39-a6f5-0d9e3cbb6b0a";
const message = (seq: number, body = `m${seq}`): Message => ({
  id: `id${seq}`, channel_id: tea, seq, client_id: null, sender_id: "bob", sender_name: "bob", body, mentions: ["cleo"], reply_to: null,
  sent_at: "2026-01-02T03:04:05.006Z", edited_at: null, deleted_at: null, reactions: [],
});
const log = (...messages: Message[]): MessageLog => ({ messages, atOldest: true, atNewest: true });
const deleted = (seq: number, of: number): ChannelEvent =>
  ({ type: "delete", channel_id: tea, seq, id: `d${seq}`, sender_id: "bob", message_id: `id${of}`, sent_at: "2026-01-02T03:05:05.006Z", epoch: "1-a", mine: false });

let copier: Copier;
let state: ChannelState;
const bodies = () => copiedChannel(tea)?.messages.map((m) => m.body);

function start(): void {
  copier = new Copier("ann");
  copier.start();
  state = addChannel({ id: tea, name: "tea", unread: 2 } as ChannelDetails);
  channelsLoaded.value = true;
}

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  takeCopy({ id: "ann" } as Me);
  navigate({ name: "home" });
  start();
});

afterEach(() => {
  copier.stop();
  forgetChannels();
  forgetPeople();
  vi.useRealTimers();
});

describe("what the user reads", () => {
  it("is copied with names, and again when it changes", () => {
    navigate({ name: "channel", channelID: tea });
    learn("bob", { username: "bob", displayName: "Bob" });
    learn("cleo", { username: "cleo" });
    state.log.value = log(message(1), message(2));
    vi.runAllTimers();
    expect(bodies()).toEqual(["m1", "m2"]);
    expect(copiedChannel(tea)?.people.map((p) => p.displayName || p.username)).toEqual(["Bob", "cleo"]);
    state.log.value = log(message(1));
    vi.runAllTimers();
    expect(bodies()).toEqual(["m1"]);
  });

  it("is copied at once when the page is hidden", () => {
    navigate({ name: "channel", channelID: tea });
    state.log.value = log(message(1));
    dispatchEvent(new Event("pagehide"));
    expect(bodies()).toEqual(["m1"]);
    expect(copiedList()?.channels).toMatchObject([{ id: tea, unread: 2 }]);
  });

  it("is not copied if the channel was not opened, the messages are old ones, or they are from the copy", () => {
    state.log.value = log(message(1));
    vi.runAllTimers();
    expect(bodies()).toBeUndefined();
    navigate({ name: "channel", channelID: tea });
    state.log.value = { ...log(message(1)), atNewest: false };
    vi.runAllTimers();
    state.log.value = { ...log(message(1)), fromCopy: true };
    vi.runAllTimers();
    expect(bodies()).toBeUndefined();
  });

  it("is not copied after the user has left the channel, or the session has ended", () => {
    navigate({ name: "channel", channelID: tea });
    state.log.value = log(message(1));
    vi.runAllTimers();
    state.log.value = log(message(1), message(2));
    removeChannel(tea);
    vi.runAllTimers();
    expect(bodies()).toBeUndefined();
    eraseCopy("ann");
    dispatchEvent(new Event("pagehide"));
    copier.stop();
    vi.runAllTimers();
    expect(Object.keys(localStorage).filter((key) => key.includes("offline"))).toEqual([]);
  });
});

describe("a copy from an earlier visit", () => {
  beforeEach(() => {
    navigate({ name: "channel", channelID: tea });
    learn("bob", { username: "bob" });
    state.log.value = log(message(1), message(2));
    vi.runAllTimers();
    copier.stop();
    forgetChannels();
    forgetPeople();
    navigate({ name: "home" });
    start();
  });

  it("follows the events of a channel that has not been opened since", () => {
    copier.note(state, deleted(7, 2));
    vi.runAllTimers();
    expect(bodies()).toEqual(["m1", ""]);
    expect(copiedChannel(tea)?.people.map((p) => p.username)).toEqual(["bob"]);
  });

  it("lists the channels only when the list is complete", () => {
    localStorage.removeItem("parley.offline.1.list");
    channelsLoaded.value = false;
    vi.runAllTimers();
    expect(copiedList()).toBeUndefined();
  });
});
