// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from "vitest";

import { forgetPeople, hasNamesake, knowNames, learn, learnMember, person, requestProfile } from "./people";

const member = (id: string, username: string, name: string): void => learnMember({ user_id: id, username, display_name: name });
const ambiguous = (id: string): boolean => hasNamesake(person(id).value);

const getProfiles = vi.hoisted(() => vi.fn());
vi.mock("./client", () => ({ sdk: () => ({ rest: { getProfiles } }) }));

const user = (id: string): object => ({ id, username: id, display_name: `Name of ${id}`, bio: "", avatar_url: "", created_at: "", deleted: false });

describe("knowNames", () => {
  beforeEach(() => {
    forgetPeople();
    getProfiles.mockReset();
    getProfiles.mockImplementation(({ ids }: { readonly ids: readonly string[] }) => Promise.resolve({ items: ids.map(user) }));
  });

  it("requests all names at once, and each only once", async () => {
    requestProfile("a");
    await knowNames(["b", "a", "c", "b"]);
    expect(getProfiles.mock.calls).toEqual([[{ ids: ["a", "b", "c"] }]]);
    expect(person("b").value.displayName).toBe("Name of b");
    await knowNames(["a", "c"]);
    expect(getProfiles).toHaveBeenCalledTimes(1);
  });

  it("splits what does not fit into one request", async () => {
    await knowNames(Array.from({ length: 130 }, (_, i) => `u${i}`));
    expect(getProfiles.mock.calls.map(([{ ids }]) => (ids as string[]).length)).toEqual([100, 30]);
  });

  it("requests names again after a failure", async () => {
    getProfiles.mockRejectedValueOnce(new Error("offline"));
    await knowNames(["a"]);
    await knowNames(["a"]);
    expect(person("a").value.displayName).toBe("Name of a");
  });

  it("does not wait for a server that does not respond", async () => {
    vi.useFakeTimers();
    getProfiles.mockReturnValue(new Promise(() => undefined));
    const known = knowNames(["a"]);
    await vi.advanceTimersByTimeAsync(1000);
    await known;
    vi.useRealTimers();
  });
});

describe("hasNamesake", () => {
  it("is true for both users with one display name, however its letters are encoded", () => {
    member("1", "ann", "Zoë Lee");
    expect(ambiguous("1")).toBe(false);
    member("2", "eve", "ZOE\u0308 LEE");
    member("3", "bob", "Bob");
    expect(["1", "2", "3"].map(ambiguous)).toEqual([true, true, false]);
  });

  it("is true for a display name that is the username of another user", () => {
    member("4", "cyd", "");
    member("5", "mallory", "Cyd");
    expect(["4", "5"].map(ambiguous)).toEqual([true, true]);
  });

  it("ends when one of the two users changes the name or is deleted", () => {
    member("6", "dan", "Captain");
    member("7", "fay", "Captain");
    member("7", "fay", "Fay");
    expect(["6", "7"].map(ambiguous)).toEqual([false, false]);
    member("7", "fay", "Captain");
    learn("7", { deleted: true });
    expect(["6", "7"].map(ambiguous)).toEqual([false, false]);
  });
});
