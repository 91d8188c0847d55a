// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { block, blocked, forgetBlocks, FRESH_MS, loadBlocks, unblock, watchBlocks } from "./blocks";

/** Each answers one request for the list. */
let answers: ((users: readonly string[] | Error) => void)[] = [];
vi.mock("./client", () => ({
  sdk: () => ({
    rest: {
      blockUser: () => Promise.resolve(),
      unblockUser: () => Promise.resolve(),
      listContacts: () =>
        new Promise((resolve, reject) =>
          answers.push((users) => (users instanceof Error ? reject(users) : resolve({ items: users.map((user_id) => ({ user_id })), next_cursor: null }))),
        ),
    },
  }),
}));

const users = (): readonly string[] => [...blocked.value];
let unwatch: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  answers = [];
  forgetBlocks();
  unwatch = watchBlocks();
});
afterEach(() => {
  unwatch();
  vi.useRealTimers();
});

describe("blocks", () => {
  it("from another device are read when the page gets the focus after some minutes", async () => {
    const loaded = loadBlocks();
    answers[0]?.(["bob"]);
    await loaded;
    expect(users()).toEqual(["bob"]);
    vi.advanceTimersByTime(FRESH_MS - 1);
    dispatchEvent(new Event("focus"));
    expect(answers).toHaveLength(1);
    vi.advanceTimersByTime(1);
    dispatchEvent(new Event("focus"));
    dispatchEvent(new Event("focus"));
    expect(answers).toHaveLength(2);
    answers[1]?.(["carl"]);
    await vi.waitFor(() => expect(users()).toEqual(["carl"]));
    unwatch();
    vi.advanceTimersByTime(FRESH_MS);
    dispatchEvent(new Event("focus"));
    expect(answers).toHaveLength(2);
  });

  it("are read again at the next focus if the server refused them", async () => {
    const failed = loadBlocks();
    answers[0]?.(new Error("refused"));
    await expect(failed).rejects.toThrow("refused");
    dispatchEvent(new Event("focus"));
    expect(answers).toHaveLength(2);
  });

  it.each([
    ["block", () => block("carl"), ["carl"]],
    ["unblock", () => unblock("bob"), []],
    ["end of the session", async () => forgetBlocks(), []],
  ] as const)("that were requested before a %s do not undo it", async (_, change, expected) => {
    const loaded = loadBlocks();
    await change();
    answers[0]?.(["bob"]);
    await loaded;
    expect(users()).toEqual(expected);
  });
});
