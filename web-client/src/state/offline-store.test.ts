// @vitest-environment happy-dom
import type { ChannelDetails, Me } from "@parley/client";
import { beforeEach, describe, expect, it } from "vitest";

import { storedKeys } from "../lib/storage";
import {
  copiedChannel, copiedList, copiedUser, copyChannel, copyList, eraseCopiedMessages, eraseCopy, forgetCopiedChannel, forgetOtherChannels, MAX_CHANNELS,
  type MessagesCopy, noteOpened, takeCopy, updateCopiedUser,
} from "./offline-store";

const user = (id: string, display_name = ""): Me => ({ id, username: id, display_name }) as Me;
const channel = (id: string): ChannelDetails => ({ id, name: id }) as ChannelDetails;
const messages = (through: number): MessagesCopy => ({ messages: [], atOldest: true, through, people: [] });

function withWorkers(there: boolean): void {
  if (there) {
    Object.defineProperty(navigator, "serviceWorker", { value: {}, configurable: true });
  } else {
    Reflect.deleteProperty(navigator, "serviceWorker");
  }
}

/** fill stores a copy of the user's list and of one channel. */
function fill(id: string): void {
  takeCopy(user(id));
  copyList(id, { channels: [channel("c")], groups: [] });
  noteOpened(id, "c");
  copyChannel(id, "c", messages(1));
}

beforeEach(() => {
  localStorage.clear();
  localStorage.setItem("parley.theme", '"dark"');
  withWorkers(true);
});

describe("the offline copy", () => {
  it("returns what was stored", () => {
    fill("ann");
    expect([copiedUser()?.id, copiedList()?.channels.map((c) => c.id), copiedChannel("c")]).toEqual(["ann", ["c"], messages(1)]);
    updateCopiedUser(user("ann", "Ann"));
    expect(copiedUser()?.display_name).toBe("Ann");
  });

  it("is erased completely, and nothing is added afterwards", () => {
    fill("ann");
    eraseCopy();
    copyList("ann", { channels: [channel("c")], groups: [] });
    noteOpened("ann", "c");
    copyChannel("ann", "c", messages(2));
    updateCopiedUser(user("ann"));
    expect(storedKeys()).toEqual(["theme"]);
  });

  it("belongs to one user", () => {
    fill("ann");
    takeCopy(user("bob"));
    expect([copiedUser()?.id, copiedList(), copiedChannel("c")]).toEqual(["bob", undefined, undefined]);
    noteOpened("bob", "c");
    copyList("ann", { channels: [channel("c")], groups: [] }); // ann's tab does not know it yet
    copyChannel("ann", "c", messages(2));
    updateCopiedUser(user("ann"));
    expect([copiedUser()?.id, copiedList(), copiedChannel("c")]).toEqual(["bob", undefined, undefined]);
    eraseCopy("ann");
    expect(copiedUser()?.id).toBe("bob");
    eraseCopy("bob");
    expect(storedKeys()).toEqual(["theme"]);
  });

  it("keeps the messages of the channels that were opened most recently", () => {
    fill("ann");
    for (let i = 1; i <= MAX_CHANNELS; i++) {
      noteOpened("ann", `c${i}`);
      copyChannel("ann", `c${i}`, messages(i));
      noteOpened("ann", "c1");
    }
    expect(copiedChannel("c")).toBeUndefined();
    expect(copiedChannel("c1")).toBeDefined();
    expect(copiedChannel(`c${MAX_CHANNELS}`)).toBeDefined();
    copyChannel("ann", "never opened", messages(1));
    expect(copiedChannel("never opened")).toBeUndefined();
    expect(storedKeys().filter((key) => key.includes(".channel."))).toHaveLength(MAX_CHANNELS);
  });

  it("contains no messages of channels that the user has left", () => {
    fill("ann");
    noteOpened("ann", "d");
    copyChannel("ann", "d", messages(1));
    forgetCopiedChannel("c");
    copyChannel("ann", "c", messages(2)); // a change that was waiting to be stored
    expect([copiedChannel("c"), copiedChannel("d")]).toEqual([undefined, messages(1)]);
    forgetOtherChannels((id) => id !== "d");
    expect(copiedChannel("d")).toBeUndefined();
  });

  it("takes messages again after they were erased because of a gap", () => {
    fill("ann");
    eraseCopiedMessages("c");
    expect(copiedChannel("c")).toBeUndefined();
    copyChannel("ann", "c", messages(1));
    expect(copiedChannel("c")).toEqual(messages(1));
  });

  it("ignores other formats", () => {
    fill("ann");
    for (const key of storedKeys().filter((k) => k.startsWith("offline."))) {
      localStorage.setItem(`parley.${key}`, '{"of":"another release"}');
    }
    expect([copiedUser(), copiedList(), copiedChannel("c")]).toEqual([undefined, undefined, undefined]);
    eraseCopy("ann");
    expect(storedKeys()).toEqual(["theme"]);
  });

  it("does not exist without service workers", () => {
    withWorkers(false);
    fill("ann");
    expect(storedKeys()).toEqual(["theme"]);
  });
});
