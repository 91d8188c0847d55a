import { describe, expect, it } from "vitest";

import { channelIn, parseRoute, pathOf, type Route } from "./routes";

const id = "5b6f0f5e-6a1c-4b54-9d0e-0a4c2f1d7e11";

describe("parseRoute", () => {
  it.each<[string, Route]>([
    ["/", { name: "home" }],
    [`/c/${id}`, { name: "channel", channelID: id }],
    [`/c/${id.toUpperCase()}/`, { name: "channel", channelID: id }],
    [`/c/${id}?m=42`, { name: "channel", channelID: id, seq: 42 }],
    [`/c/${id}?m=-1`, { name: "channel", channelID: id }],
    [`/c/${id}?m=x`, { name: "channel", channelID: id }],
    ["/c/tea", { name: "unknown", path: "/c/tea" }],
    ["/else", { name: "unknown", path: "/else" }],
  ])("%s", (address, want) => {
    expect(parseRoute(address)).toEqual(want);
    expect(parseRoute(pathOf(want))).toEqual(want);
  });
});

describe("channelIn", () => {
  it.each([
    [id, id],
    [`  ${id.toUpperCase()} `, id],
    [`https://chat.example/c/${id}?m=3`, id],
    [`/c/${id}`, id],
    ["tea", undefined],
    ["https://chat.example/", undefined],
    ["", undefined],
    ["http://", undefined],
  ])("%s", (input, want) => {
    expect(channelIn(input)).toBe(want);
  });
});
