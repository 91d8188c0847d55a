// @vitest-environment happy-dom
import { ApiError } from "@parley/client";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { LiveLog } from "../components/toasts";
import { session } from "../state/me";
import { testids } from "../testids";
import { SignIn } from "./sign-in";

const signUp = vi.hoisted(() => vi.fn());
vi.mock("../state/session", async (original) => ({ ...(await original<object>()), signUp }));

let root: HTMLElement;

beforeEach(async () => {
  session.value = { name: "signed-out" };
  root = document.createElement("div");
  document.body.append(root);
  await act(() => render(<SignIn />, root));
});
afterEach(() => {
  render(null, root);
  root.remove();
});

function field(testid: string): HTMLInputElement {
  const found = root.querySelector<HTMLInputElement>(`[data-testid="${testid}"]`);
  if (found === null) {
    throw new Error(`no ${testid}`);
  }
  return found;
}

const focused = (): string | undefined => (document.activeElement as HTMLElement).dataset["testid"];
const invalid = (): readonly string[] => [...root.querySelectorAll<HTMLElement>('[aria-invalid="true"]')].map((e) => e.dataset["testid"] ?? "");

async function type(testid: string, text: string): Promise<void> {
  await act(() => {
    field(testid).value = text;
    field(testid).dispatchEvent(new Event("input", { bubbles: true }));
  });
}

const submit = (): Promise<void> => act(() => void root.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true })));

it("focuses the first field of both forms", async () => {
  expect(focused()).toBe(testids.login);
  await act(() => field(testids.modeSwitch).click());
  expect(focused()).toBe(testids.username);
});

it("focuses the first invalid field, and removes an error when its field is edited", async () => {
  const errors = ["password", "email"].map((name) => ({ field: name, code: "invalid" as const, message: "is odd" }));
  signUp.mockImplementation(async () => {
    await Promise.resolve();
    throw new ApiError(400, "invalid_request", "odd", errors);
  });
  await act(() => field(testids.modeSwitch).click());
  await type(testids.email, "ann@");
  await submit();
  await vi.waitFor(() => expect(invalid()).toEqual([testids.email, testids.password]));
  expect(focused()).toBe(testids.email);
  await type(testids.email, "ann@example.test");
  expect(focused()).toBe(testids.email);
  expect(invalid()).toEqual([testids.password]);
  await submit();
  await vi.waitFor(() => expect(invalid()).toEqual([testids.email, testids.password]));
});

it("says nothing about the connection", async () => {
  await act(() => render(<LiveLog />, root));
  expect(root.querySelector('[role="status"]')?.textContent).toBe("");
});
