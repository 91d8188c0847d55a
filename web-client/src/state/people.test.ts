// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { hasNamesake, learn, learnMember, person } from "./people";

const member = (id: string, username: string, name: string): void => learnMember({ user_id: id, username, display_name: name });
const ambiguous = (id: string): boolean => hasNamesake(person(id).value);

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
