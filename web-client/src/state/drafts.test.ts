// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from "vitest";

type Drafts = typeof import("./drafts");

/** tab simulates a browser tab, which has its own memory and shares localStorage. */
async function tab(): Promise<Drafts> {
  vi.resetModules();
  return import("./drafts");
}

beforeEach(() => localStorage.clear());

describe("drafts", () => {
  it("survive a reload, by user and channel", async () => {
    const before = await tab();
    before.keepDraft("ann", "c1", "hello");
    const after = await tab();
    expect(after.draftOf("ann", "c1")).toBe("hello");
    expect(after.draftOf("ann", "c2")).toBe("");
    expect(after.draftOf("bob", "c1")).toBe("");
    after.keepDraft("ann", "c1", "");
    expect((await tab()).draftOf("ann", "c1")).toBe("");
    expect(localStorage.length).toBe(0);
  });

  it("of two tabs in two channels are both stored", async () => {
    const one = await tab();
    const two = await tab();
    one.keepDraft("ann", "c1", "from one");
    two.keepDraft("ann", "c2", "from two");
    one.keepDraft("ann", "c1", "from one, longer");
    const later = await tab();
    expect([later.draftOf("ann", "c1"), later.draftOf("ann", "c2")]).toEqual(["from one, longer", "from two"]);
  });

  it("are removed when their user's session ends, but those of another user stay", async () => {
    const one = await tab();
    one.keepDraft("ann", "c1", "private");
    const two = await tab();
    two.keepDraft("bob", "c1", "mine");
    one.forgetDrafts("ann");
    const later = await tab();
    expect([later.draftOf("ann", "c1"), later.draftOf("bob", "c1")]).toEqual(["", "mine"]);
    expect(one.draftOf("ann", "c1")).toBe("");
  });

  it("of a session that ended while no page was open are removed at the next start", async () => {
    const one = await tab();
    one.keepDraft("ann", "c1", "private");
    one.keepDraft("bob", "c1", "mine");
    localStorage.setItem("parley.drafts", JSON.stringify({ c1: "whose?" }));
    localStorage.setItem("parley.theme", JSON.stringify("dark"));
    (await tab()).forgetDraftsOfOthers("bob");
    expect(Object.keys(localStorage).sort()).toEqual(["parley.draft.bob.c1", "parley.theme"]);
    (await tab()).forgetDrafts();
    expect(Object.keys(localStorage)).toEqual(["parley.theme"]);
  });

  it("last until the page is closed if nothing can be stored", async () => {
    const refuse = vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new Error("full");
    });
    const one = await tab();
    one.keepDraft("ann", "c1", "hello");
    expect(one.draftOf("ann", "c1")).toBe("hello");
    one.forgetDrafts("ann");
    expect(one.draftOf("ann", "c1")).toBe("");
    refuse.mockRestore();
  });
});
