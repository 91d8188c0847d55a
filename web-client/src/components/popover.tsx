/**
 * A popover next to the control that opened it. On a phone, it is a sheet at the bottom of the
 * window. The rest of the page stays usable; Escape, a click elsewhere, and scrolling close it.
 *
 * It is a manual popover. An automatic one would close when a confirmation dialog opens on top of
 * it. In addition, a click on its control would close it and then open it again.
 */

import "../styles/popovers.css"; // loaded with the first popover

import type { ComponentChildren, JSX, RefObject } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

import { t } from "../i18n";
import { composing } from "../lib/composing";
import { MARGIN, place } from "../lib/placement";
import { question } from "../state/dialog";
import { closePopover, type OpenPopover } from "../state/popover";
import { sheets } from "../state/viewport";
import { testids } from "../testids";
import { IconButton } from "./button";
import { CONTROLS, useKeptFocus } from "./kept-focus";

interface PopoverProps {
  readonly open: OpenPopover;
  readonly children: ComponentChildren;
}

/** DialogPopover is a popover with a title and controls. Tab moves the focus among the controls. */
export function DialogPopover({ open, title, children }: PopoverProps & { readonly title: string }): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  const heading = useId();
  usePlace(element, open);
  useDismissal(element, open);
  useKeptFocus(element);
  return (
    <div
      ref={element}
      popover="manual"
      class="popover"
      role="dialog"
      aria-labelledby={heading}
      tabIndex={-1}
      onKeyDown={(event) => keepTab(event, element.current)}
      data-testid={testids.popover}
    >
      <header class="popover-head">
        <h2 id={heading} dir="auto">
          {title}
        </h2>
        <IconButton icon="close" label={t().common.close} onClick={closePopover} testid={testids.popoverClose} />
      </header>
      {children}
    </div>
  );
}

/**
 * MenuPopover is a popover for a menu. Tab closes it and moves the focus to the control after the
 * one that opened it.
 */
export function MenuPopover({ open, children }: PopoverProps): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  usePlace(element, open);
  useDismissal(element, open);
  return (
    <div
      ref={element}
      popover="manual"
      class="popover popover-menu"
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key === "Tab") {
          closePopover();
        }
      }}
      data-testid={testids.popover}
    >
      {children}
    </div>
  );
}

/**
 * usePlace shows the popover next to its control, with the focus in it, and keeps it within the
 * window.
 */
function usePlace(element: RefObject<HTMLElement | null>, { anchor }: OpenPopover): void {
  useLayoutEffect(() => {
    const shown = element.current;
    if (shown === null) {
      return undefined;
    }
    const update = (): void => {
      // The control disappears when its row leaves the rendered part of the list, when the message
      // is deleted, and when another channel is opened.
      if (anchor.getClientRects().length === 0) {
        closePopover();
      } else {
        drawNextTo(shown, anchor);
      }
    };
    shown.showPopover();
    update();
    (shown.querySelector<HTMLElement>("[data-autofocus]") ?? shown).focus({ preventScroll: true });
    const sizes = new ResizeObserver(update);
    sizes.observe(shown);
    sizes.observe(anchor);
    addEventListener("resize", update);
    // The visual viewport changes when the on-screen keyboard appears and when the user zooms in.
    visualViewport?.addEventListener("resize", update);
    visualViewport?.addEventListener("scroll", update);
    return () => {
      sizes.disconnect();
      removeEventListener("resize", update);
      visualViewport?.removeEventListener("resize", update);
      visualViewport?.removeEventListener("scroll", update);
    };
  }, []);
}

function drawNextTo(shown: HTMLElement, anchor: HTMLElement): void {
  const { clientWidth, clientHeight } = document.documentElement;
  const { offsetLeft: left, offsetTop: top, width, height } = visualViewport ?? { offsetLeft: 0, offsetTop: 0, width: clientWidth, height: clientHeight };
  const { style } = shown;
  style.setProperty("--room", `${height - 2 * MARGIN}px`);
  if (sheets.peek()) {
    style.left = "";
    style.top = "";
    style.bottom = `${Math.max(0, clientHeight - top - height)}px`;
  } else {
    const size = { width: shown.offsetWidth, height: shown.offsetHeight };
    const at = place(anchor.getBoundingClientRect(), size, { left, top, width, height });
    style.left = `${at.left}px`;
    style.top = `${at.top}px`;
    style.bottom = "";
  }
}

/** useDismissal closes the popover on Escape, on a click elsewhere, and when the user scrolls. */
function useDismissal(element: RefObject<HTMLElement | null>, { anchor }: OpenPopover): void {
  // Use a layout effect. An ordinary effect runs after the next frame, so it would miss an Escape
  // pressed right after the popover receives the focus.
  useLayoutEffect(() => {
    const sizes = new Map<EventTarget, string>();
    for (let area = anchor.parentElement; area !== null; area = area.parentElement) {
      sizes.set(area, sizeOf(area));
    }
    const onPointerDown = ({ target }: Event): void => {
      const own = target instanceof Node && (element.current?.contains(target) === true || anchor.contains(target));
      if (!own && question.peek() === undefined) {
        closePopover(); // a click on its control closes it too, in the control's own handler
      }
    };
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !composing(event) && question.peek() === undefined) {
        event.preventDefault();
        event.stopPropagation();
        closePopover();
      }
    };
    // The list also scrolls by itself when messages arrive or its size changes. The popover then
    // stays where it is, so that a user who is choosing an emoji does not click the wrong one.
    const onScroll = ({ target }: Event): void => {
      if (target instanceof Element && sizes.has(target)) {
        const size = sizeOf(target);
        if (size === sizes.get(target)) {
          closePopover();
        }
        sizes.set(target, size);
      }
    };
    document.addEventListener("pointerdown", onPointerDown, true);
    document.addEventListener("keydown", onKeyDown, true);
    document.addEventListener("scroll", onScroll, true);
    return () => {
      document.removeEventListener("pointerdown", onPointerDown, true);
      document.removeEventListener("keydown", onKeyDown, true);
      document.removeEventListener("scroll", onScroll, true);
    };
  }, []);
}

const sizeOf = (area: Element): string => `${area.scrollHeight} ${area.clientHeight} ${area.clientWidth}`;

/**
 * keepTab wraps the focus in the popover: Tab moves it from the last control to the first, and
 * Shift+Tab from the first to the last.
 */
function keepTab(event: KeyboardEvent, area: HTMLElement | null): void {
  if (event.key !== "Tab" || area === null) {
    return;
  }
  const controls = [...area.querySelectorAll<HTMLElement>(CONTROLS)];
  const [first, last] = [controls[0], controls.at(-1)];
  const focused = document.activeElement;
  if (event.shiftKey && (focused === first || focused === area)) {
    event.preventDefault();
    last?.focus();
  } else if (!event.shiftKey && focused === last) {
    event.preventDefault();
    first?.focus();
  }
}
