// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Once } from "./once";

let root: HTMLElement;
let answer: (succeeded: boolean) => void;
const request = vi.fn(() => new Promise<boolean>((resolve) => (answer = resolve)));

beforeEach(async () => {
  request.mockClear();
  root = document.createElement("div");
  document.body.append(root);
  await act(() => render(<Once act={request} done="Done" testid="once">Do</Once>, root));
});
afterEach(() => {
  render(null, root);
  root.remove();
});

const doubleClick = (): Promise<void> =>
  act(() => {
    root.querySelector("button")?.click();
    root.querySelector("button")?.click();
  }) as Promise<void>;

const answerWith = (succeeded: boolean): Promise<void> =>
  act(async () => {
    answer(succeeded);
    await request.mock.results[0]?.value;
  });

it("acts once on a double click, and then shows that it is done", async () => {
  await doubleClick();
  expect(request).toHaveBeenCalledTimes(1);
  await answerWith(true);
  await vi.waitFor(() => expect(root.textContent).toBe("Done"));
});

it("can be tried again if the server refused", async () => {
  await doubleClick();
  await answerWith(false);
  expect(root.textContent).toBe("Do");
  await doubleClick();
  expect(request).toHaveBeenCalledTimes(2);
});
