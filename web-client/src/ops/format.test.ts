import { expect, test } from "vitest";

import { brief, clock, measured, minuteClock, shown } from "./format";

test("numbers are formatted briefly", () => {
  expect([undefined, 0, 0.123, 12.34, 123.4, 1234, 1_234_567].map(shown)).toEqual(["–", "0", "0.12", "12.3", "123", "1,234", "1.2M"]);
  expect([0, 0.5, 1000, 500_000].map(brief)).toEqual(["0", "0.5", "1K", "500K"]);
});

test("numbers have their unit", () => {
  expect([measured(1.5, "s"), measured(70, "%"), measured(2, ""), measured(undefined, "s")]).toEqual(["1.5 s", "70%", "2", "–"]);
});

test("times have 24 hours", () => {
  const night = new Date(2026, 0, 31, 0, 5, 10).getTime();
  expect([clock(night), minuteClock(night + 14 * 3_600_000)]).toEqual(["00:05:10", "14:05"]);
});
