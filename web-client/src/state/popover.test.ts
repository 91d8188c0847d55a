// @vitest-environment happy-dom
import { beforeEach, expect, it } from "vitest";

import { closeTopmost, dialog, openDialog } from "./dialog";
import { closePopover, popover, togglePopover } from "./popover";

const control = document.createElement("button");
const other = document.createElement("button");
const field = document.createElement("input");
const shown = document.createElement("div");
const inside = document.createElement("button");

beforeEach(() => {
  closePopover();
  shown.className = "popover";
  shown.replaceChildren(inside);
  document.body.replaceChildren(control, other, field, shown);
});

it("is closed by its own control, and replaced by another one", () => {
  togglePopover({ name: "person", userID: "1" }, control);
  togglePopover({ name: "person", userID: "2" }, other);
  expect(popover.value?.request).toEqual({ name: "person", userID: "2" });
  togglePopover({ name: "person", userID: "2" }, other);
  expect(popover.value).toBeUndefined();
});

it("returns the focus from the popover, but does not take it from elsewhere", () => {
  togglePopover({ name: "person", userID: "1" }, control, other);
  inside.focus();
  expect(closePopover()).toBe(true);
  expect(document.activeElement).toBe(other);
  togglePopover({ name: "person", userID: "1" }, control);
  field.focus();
  closePopover();
  expect(document.activeElement).toBe(field);
  expect(closePopover()).toBe(false);
});

it("gives way to a dialog, which returns the focus to the same control", () => {
  togglePopover({ name: "person", userID: "1" }, control);
  inside.focus();
  openDialog({ name: "browse" });
  expect(popover.value).toBeUndefined();
  expect(document.activeElement).toBe(control);
});

it("is closed by Back, before the page goes back", () => {
  dialog.value = undefined;
  togglePopover({ name: "person", userID: "1" }, control);
  expect([closeTopmost(), popover.value, closeTopmost()]).toEqual([true, undefined, false]);
});
