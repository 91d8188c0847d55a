import { describe, expect, it } from "vitest";

import { NO_READERS, progressOf, withCounts, withoutMember, withPosition } from "./readers";

describe("progressOf", () => {
  it("is read only when all other members have read the message", () => {
    let readers = withPosition(NO_READERS, "bob", 7, 5);
    expect(progressOf(readers, 5, 3)).toEqual({ status: "delivered", read: 1, members: 3 });
    expect(progressOf(readers, 7, 3)).toMatchObject({ status: "delivered", read: 0 });
    expect(progressOf(readers, 8, 3)).toMatchObject({ status: "sent", read: 0 });
    readers = withPosition(withPosition(readers, "cyd", 9, 9), "dan", 6, 6);
    expect(progressOf(readers, 5, 3)).toMatchObject({ status: "read" });
    expect(progressOf(readers, 6, 3)).toMatchObject({ status: "delivered", read: 2 });
  });

  it("uses the server's counts, also for earlier messages", () => {
    let readers = withCounts(NO_READERS, 10, 13, 12, 13);
    expect(progressOf(readers, 10, 13)).toEqual({ status: "delivered", read: 12, members: 13 });
    expect(progressOf(readers, 4, 13)).toMatchObject({ status: "delivered", read: 12 });
    readers = withCounts(readers, 8, 13, 13, 13);
    expect(progressOf(readers, 8, 20)).toMatchObject({ status: "read" });
    expect(progressOf(readers, 3, 20)).toMatchObject({ status: "read" });
    expect(progressOf(readers, 10, 20)).toMatchObject({ status: "delivered" });
  });

  it("does not count a reader who has left", () => {
    const readers = withoutMember(withPosition(NO_READERS, "bob", 5, 5), "bob");
    expect(progressOf(readers, 5, 1)).toMatchObject({ status: "delivered", read: 0 });
  });

  it("never moves back, whatever order the receipts arrive in", () => {
    const readers = withCounts(withCounts(withPosition(withPosition(NO_READERS, "bob", 9, 9), "bob", 4, 4), 9, 2, 2, 3), 9, 1, 1, 3);
    expect(progressOf(readers, 9, 3)).toMatchObject({ status: "delivered", read: 2 });
  });

  it("of a message in an empty channel is sent", () => {
    expect(progressOf(NO_READERS, 1, 0)).toMatchObject({ status: "sent" });
  });
});
