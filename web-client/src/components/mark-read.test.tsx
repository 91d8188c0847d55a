// @vitest-environment happy-dom
import type { Channel, Message } from "@parley/client";
import { render } from "preact";
import { act } from "preact/test-utils";
import { useRef } from "preact/hooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ChannelState } from "../state/channel-state";
import { placing } from "../state/compose";
import { closeDialog, openDialog } from "../state/dialog";
import { beginVisit, markRead, markUnread, restoreMark } from "../state/reading";
import { useMarkRead } from "./mark-read";

const message = (seq: number): Message => ({
  id: `id${seq}`, channel_id: "c", seq, client_id: null, sender_id: "bob", sender_name: "bob", body: "", mentions: [], reply_to: null,
  sent_at: "2026-01-02T03:04:05.006Z", edited_at: null, deleted_at: null, reactions: [],
});

/** The rows that the page observes, and the callback through which the test reports entries. */
let observed: Set<Element>;
let report: (entries: IntersectionObserverEntry[]) => void;
const VIEW = 400;

/** scroll reports the visible height, in pixels, of each row; rows are 100 pixels high. */
const scroll = (visible: Readonly<Record<number, number>>): Promise<void> =>
  act(() =>
    report(
      [...observed].map((target) => {
        const height = visible[Number(target.getAttribute("data-seq"))] ?? 0;
        return { target, isIntersecting: height > 0, boundingClientRect: new DOMRect(0, 0, 9, 100), intersectionRect: new DOMRect(0, 0, 9, height), rootBounds: new DOMRect(0, 0, 9, VIEW) } as unknown as IntersectionObserverEntry;
      }),
    ),
  );

const handle = { id: "c", followed: true, readSeq: 0, lastSeq: 0, position: { seq: 0 }, markRead: vi.fn((seq: number) => void (handle.readSeq = seq)) };
let focused = true;
let state: ChannelState;
let root: HTMLElement;

function List({ seqs }: { readonly seqs: readonly number[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  useMarkRead(state, scroller);
  return (
    <div ref={scroller}>
      {seqs.map((seq) => (
        <div key={seq} data-seq={seq} />
      ))}
    </div>
  );
}

async function show(read: number, from: number, to: number): Promise<void> {
  handle.readSeq = read;
  handle.position.seq = handle.lastSeq = to;
  state = new ChannelState(handle as unknown as Channel);
  restoreMark(state);
  state.setCounts(to - read, 0);
  state.log.value = { messages: Array.from({ length: to - from + 1 }, (_, i) => message(from + i)), atOldest: from === 1, atNewest: true };
  beginVisit(state);
  await act(() => render(<List seqs={state.log.peek()?.messages.map((m) => m.seq) ?? []} />, root));
}

beforeEach(() => {
  localStorage.clear();
  vi.clearAllMocks();
  observed = new Set();
  focused = true;
  placing.value = false;
  vi.spyOn(document, "hasFocus").mockImplementation(() => focused);
  vi.stubGlobal(
    "IntersectionObserver",
    class {
      constructor(callback: typeof report) {
        report = callback;
      }
      observe(element: Element): void {
        observed.add(element);
      }
      unobserve(element: Element): void {
        observed.delete(element);
      }
      disconnect(): void {
        observed.clear();
      }
    },
  );
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("the read position", () => {
  it("moves past messages of which at least half was on screen", async () => {
    await show(2, 1, 9);
    await scroll({ 2: 100, 3: 100, 4: 60, 5: 40 });
    expect(handle.readSeq).toBe(4);
    await scroll({ 5: 60, 6: 100, 7: 30 });
    expect(handle.readSeq).toBe(6);
  });

  it("does not pass messages that were skipped", async () => {
    await show(2, 1, 9);
    await scroll({ 7: 100, 8: 100, 9: 100 });
    expect(handle.markRead).not.toHaveBeenCalled();
    await scroll({ 3: 100, 4: 100, 5: 100, 6: 100 });
    expect(handle.readSeq).toBe(9);
  });

  it("does not move before the list has reached its position", async () => {
    placing.value = true;
    await show(2, 1, 9);
    expect(observed.size).toBe(0);
    await act(() => void (placing.value = false));
    expect(observed.size).toBe(9);
    expect(handle.markRead).not.toHaveBeenCalled();
  });

  it("moves when the dialog is closed that covered the messages", async () => {
    await show(2, 1, 4);
    await act(() => openDialog({ name: "shortcuts" }));
    await scroll({ 3: 100, 4: 100 });
    expect(handle.markRead).not.toHaveBeenCalled();
    await act(closeDialog);
    expect(handle.readSeq).toBe(4);
  });

  it("moves when the page gets the focus", async () => {
    focused = false;
    await show(2, 1, 4);
    await scroll({ 3: 100, 4: 100 });
    expect(handle.markRead).not.toHaveBeenCalled();
    focused = true;
    dispatchEvent(new Event("focus"));
    expect(handle.readSeq).toBe(4);
  });
});

describe("messages marked as unread", () => {
  it("stay unread until they are on screen in a later visit", async () => {
    await show(9, 1, 9);
    markUnread(state, message(7));
    await scroll({ 6: 100, 7: 100, 8: 100, 9: 100 });
    expect([state.unread.value, state.newAfter.value, state.readSeq]).toEqual([3, 6, 6]);
    render(null, root);
    await show(9, 1, 9); // as after a reload
    expect([state.unread.value, state.newAfter.value]).toEqual([3, 6]);
    await scroll({ 7: 100 });
    expect(state.unread.value).toBe(2);
    await scroll({ 8: 100, 9: 100 });
    expect([state.unread.value, state.readSeq]).toEqual([0, 9]);
    expect(handle.readSeq).toBe(9);
  });

  it("can be marked as read again", async () => {
    await show(9, 1, 9);
    markUnread(state, message(7));
    markRead(state);
    expect([state.unread.value, state.newAfter.value, state.readSeq]).toEqual([0, undefined, 9]);
  });
});
