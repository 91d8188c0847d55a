// @vitest-environment happy-dom
import type { Channel, ChannelDetails, Group, Me } from "@parley/client";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { type ChannelState, ChannelState as State } from "./channel-state";
import { moveToSection, prefer } from "./channel-preferences";
import { channels } from "./channels";
import { groups } from "./groups";
import { session } from "./me";
import { sections } from "./sections";
import { createSection, deleteSection, MAX_SECTION_NAME, MAX_SECTIONS, moveSection, renameSection, userSections } from "./user-sections";

const signIn = (id: string): void => {
  session.value = { name: "signed-in", me: { id } as Me };
};

function channel(id: string, details: Partial<ChannelDetails> = {}): ChannelState {
  const state = new State({ id, followed: false, summary: undefined } as unknown as Channel);
  state.setDetails({ id, name: id, kind: "public", group_id: null, unread: 0, unread_mentions: 0, ...details } as ChannelDetails);
  return state;
}

/** The sections that contain channels, as "name: channels". */
const shown = (): readonly string[] => sections.value.filter((s) => s.channels.length > 0).map((s) => `${s.user?.name ?? s.name}: ${s.channels.map((c) => c.id).join(" ")}`);
const names = (): readonly string[] => userSections.value.map((s) => s.name);

beforeEach(() => {
  for (const user of ["ann", "bob"]) {
    signIn(user);
    userSections.peek().forEach((s) => deleteSection(s.id));
  }
  localStorage.clear();
  signIn("ann");
  groups.value = [{ id: "kitchen", name: "Kitchen" } as Group];
  channels.value = new Map([channel("tea"), channel("oven", { group_id: "kitchen" }), channel("bob", { kind: "direct" })].map((c) => [c.id, c]));
  ["tea", "oven", "bob"].forEach((id) => prefer(id, { starred: false, section: undefined }));
});

describe("the channel list", () => {
  it("has each channel in the section that the user has chosen, or else in its default one", () => {
    expect(shown()).toEqual(["kitchen: oven", "channels: tea", "direct: bob"]);
    const work = createSection("Work");
    for (const id of ["tea", "oven", "bob"]) {
      moveToSection(id, work?.id);
    }
    expect(shown()).toEqual(["Work: oven tea bob"]);
    expect(sections.value.filter((s) => s.elsewhere > 0).map((s) => s.name)).toEqual(["kitchen", "channels", "direct"]);
    moveToSection("oven", undefined);
    expect(shown()).toEqual(["Work: tea bob", "kitchen: oven"]);
  });

  it("has starred channels at the top, and a channel that is moved loses its star", () => {
    const work = createSection("Work");
    moveToSection("tea", work?.id);
    prefer("tea", { starred: true });
    expect(shown()[0]).toBe("starred: tea");
    prefer("tea", { starred: false });
    expect(shown()[0]).toBe("Work: tea");
    prefer("tea", { starred: true });
    moveToSection("tea", undefined);
    expect(shown()).toEqual(["kitchen: oven", "channels: tea", "direct: bob"]);
  });

  it("shows the channels of a deleted section in their default ones until it is restored", () => {
    createSection("A");
    const work = createSection("Work");
    createSection("B");
    moveToSection("tea", work?.id);
    const restore = deleteSection(work?.id ?? "");
    expect(names()).toEqual(["A", "B"]);
    expect(shown()).toContain("channels: tea");
    restore();
    expect(names()).toEqual(["A", "Work", "B"]);
    expect(shown()).toContain("Work: tea");
  });
});

describe("the user's own sections", () => {
  it("are renamed, and moved as far as the ends", () => {
    const [a, b] = [createSection(" A "), createSection("B"), createSection("C")];
    expect(names()).toEqual(["A", "B", "C"]);
    moveSection(a?.id ?? "", -1);
    moveSection(a?.id ?? "", 1);
    expect(names()).toEqual(["B", "A", "C"]);
    [1, 2, 3].forEach(() => moveSection(b?.id ?? "", 1));
    expect(names()).toEqual(["A", "C", "B"]);
    moveSection("no such section", 1);
    expect(renameSection(b?.id ?? "", "Bee")).toBe(true);
    expect(names()).toEqual(["A", "C", "Bee"]);
  });

  it("are limited in number and in the length of their names", () => {
    const long = "n".repeat(MAX_SECTION_NAME + 1);
    expect([createSection(long), createSection("  "), createSection("")]).toEqual([undefined, undefined, undefined]);
    const first = createSection(long.slice(1));
    expect([renameSection(first?.id ?? "", long), renameSection(first?.id ?? "", " ")]).toEqual([false, false]);
    for (let i = 1; i < MAX_SECTIONS; i++) {
      expect(createSection("more")).toBeDefined();
    }
    expect(createSection("one too many")).toBeUndefined();
    expect(names()).toHaveLength(MAX_SECTIONS);
  });

  it("belong to one user of the browser", () => {
    createSection("Ann's");
    signIn("bob");
    expect(names()).toEqual([]);
    createSection("Bob's");
    signIn("ann");
    expect(names()).toEqual(["Ann's"]);
    expect(JSON.parse(localStorage.getItem("parley.sections") ?? "")).toMatchObject({ ann: [{ name: "Ann's" }], bob: [{ name: "Bob's" }] });
  });

  const good = { id: "s", name: "Good" };
  it.each([
    ["not JSON", "{", []],
    ["a list", [good], []],
    ["no list of sections", { ann: good }, []],
    ["entries that are not sections", { ann: [null, 7, {}, { id: 1, name: "x" }, { id: "x", name: " " }, { id: "x", name: "n".repeat(41) }, good] }, ["Good"]],
    ["too many entries", { ann: Array.from({ length: 31 }, (_, i) => ({ id: `s${i}`, name: "x" })) }, Array.from({ length: 30 }, () => "x")],
  ])("ignore %s in the storage", async (_, value, expected) => {
    localStorage.setItem("parley.sections", typeof value === "string" ? value : JSON.stringify(value));
    vi.resetModules();
    const [me, fresh] = [await import("./me"), await import("./user-sections")];
    me.session.value = { name: "signed-in", me: { id: "ann" } as Me };
    expect(fresh.userSections.value.map((s) => s.name)).toEqual(expected);
  });
});
