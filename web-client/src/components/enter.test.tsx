// @vitest-environment happy-dom
import type { Channel, Message } from "@parley/client";
import type { Signal } from "@preact/signals";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import Switcher from "../dialogs/switcher";
import { ChannelState } from "../state/channel-state";
import { channels } from "../state/channels";
import { touch } from "../state/viewport";
import { testids } from "../testids";
import { Composer } from "./composer";
import { EditField } from "./edit-field";

vi.mock("../state/client", () => ({
  dropClient: () => undefined,
  sdk: () => ({ limits: undefined, rest: { listMessages: () => new Promise(() => undefined), getProfiles: () => Promise.resolve({ items: [] }) } }),
}));
const opened = vi.hoisted(() => vi.fn());
vi.mock("../state/route", async (original) => ({ ...(await original<object>()), openChannel: opened }));

const handle = {
  id: "c", kind: "public", followed: true, readSeq: 0, pending: [], typing: vi.fn(), stopTyping: vi.fn(),
  send: vi.fn(() => ({ settled: Promise.resolve() })), edit: vi.fn(() => Promise.resolve({})), askReached: () => Promise.resolve(),
};
const message = { id: "m", channel_id: "c", seq: 1, sender_id: "", sender_name: "ann", body: "before", deleted_at: null } as unknown as Message;

let state: ChannelState;
let root: HTMLElement;

beforeEach(() => {
  vi.clearAllMocks();
  HTMLDialogElement.prototype.showModal = vi.fn();
  globalThis.matchMedia = (() => ({ matches: false })) as unknown as typeof matchMedia;
  state = new ChannelState(handle as unknown as Channel);
  root = document.createElement("div");
  document.body.append(root);
});
const setTouch = (is: boolean): void => {
  (touch as Signal<boolean>).value = is;
};
afterEach(() => {
  setTouch(false);
  render(null, root);
  root.remove();
});

const field = (testid: string): HTMLInputElement | HTMLTextAreaElement => {
  const found = root.querySelector<HTMLTextAreaElement>(`[data-testid="${testid}"]`);
  if (found === null) {
    throw new Error(`no ${testid}`);
  }
  return found;
};

async function type(testid: string, text: string): Promise<void> {
  await act(() => {
    const element = field(testid);
    element.value = text;
    element.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

async function press(testid: string, key: string, how: { readonly isComposing?: boolean; readonly keyCode?: number; readonly ctrlKey?: boolean } = {}): Promise<void> {
  await act(() => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
    for (const [name, value] of Object.entries({ isComposing: false, keyCode: 13, ...how })) {
      Object.defineProperty(event, name, { value });
    }
    field(testid).dispatchEvent(event);
  });
}

/**
 * The ways in which browsers report the Enter that confirms a conversion: most report it during the
 * composition, Safari after it.
 */
const confirmations = [
  { isComposing: true, keyCode: 229 },
  { isComposing: true, keyCode: 13 },
  { isComposing: false, keyCode: 229 },
];

describe("Enter that confirms a conversion", () => {
  it("never sends a message", async () => {
    await act(() => render(<Composer state={state} />, root));
    await type(testids.composer, "にほん");
    for (const how of confirmations) {
      await press(testids.composer, "Enter", how);
    }
    expect(handle.send).not.toHaveBeenCalled();
    await press(testids.composer, "Enter");
    expect(handle.send).toHaveBeenCalledOnce();
  });

  it("never saves an edit, and Escape never cancels it", async () => {
    await act(() => render(<EditField state={state} message={message as never} />, root));
    await type(testids.editField, "にほん");
    for (const how of confirmations) {
      await press(testids.editField, "Enter", how);
      await press(testids.editField, "Escape", how);
    }
    expect(handle.edit).not.toHaveBeenCalled();
    expect(field(testids.editField).value).toBe("にほん");
    await press(testids.editField, "Enter");
    expect(handle.edit).toHaveBeenCalledOnce();
  });

  it("never opens a channel", async () => {
    state.details.value = { id: "c", kind: "public", name: "日本語" } as never;
    channels.value = new Map([["c", state]]);
    await act(() => render(<Switcher />, root));
    for (const how of confirmations) {
      await press(testids.switcherField, "Enter", how);
    }
    expect(opened).not.toHaveBeenCalled();
    await press(testids.switcherField, "Enter");
    expect(opened).toHaveBeenCalledOnce();
  });
});

describe("Enter on a touch screen", () => {
  beforeEach(() => setTouch(true));

  it("sends nothing, but the button and Ctrl+Enter do", async () => {
    await act(() => render(<Composer state={state} />, root));
    await type(testids.composer, "one");
    expect(field(testids.composer).getAttribute("enterkeyhint")).toBe("enter");
    await press(testids.composer, "Enter");
    expect(handle.send).not.toHaveBeenCalled();
    await act(() => field(testids.send).click());
    expect(handle.send).toHaveBeenCalledOnce();
    await type(testids.composer, "two");
    await press(testids.composer, "Enter", { ctrlKey: true });
    expect(handle.send).toHaveBeenCalledTimes(2);
  });

  it("saves no edit, but Ctrl+Enter does", async () => {
    await act(() => render(<EditField state={state} message={message as never} />, root));
    await type(testids.editField, "after");
    await press(testids.editField, "Enter");
    expect(handle.edit).not.toHaveBeenCalled();
    await press(testids.editField, "Enter", { ctrlKey: true });
    expect(handle.edit).toHaveBeenCalledOnce();
  });
});
