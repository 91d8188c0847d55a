/**
 * A modal dialog that uses the browser's own dialog element. While it is open, the rest of the page
 * is inert, Tab stays inside, and Escape closes it. When it closes, the focus returns to where it
 * was.
 */

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

import { t } from "../i18n";
import { composing } from "../lib/composing";
import { closeDialog } from "../state/dialog";
import { testids } from "../testids";
import { IconButton } from "./button";
import { useKeptFocus } from "./kept-focus";

interface DialogProps {
  readonly title: string;
  readonly children: ComponentChildren;
  /** Actions that stay in view while the rest of the dialog scrolls. */
  readonly footer?: ComponentChildren;
  readonly size?: "small" | "normal" | "wide";
  readonly onClose?: () => void;
}

export function Dialog({ title, children, footer, size = "normal", onClose = closeDialog }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const shown = element.current;
    shown?.showModal();
    // Without data-autofocus, the browser would focus the close button.
    shown?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
    return () => shown?.close();
  }, []);
  useKeptFocus(element);
  return (
    <dialog
      ref={element}
      class={`dialog dialog-${size}`}
      aria-labelledby={heading}
      data-testid={testids.dialog}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onKeyDown={(event) => {
        // In a search field, browsers would use the first Escape to clear the text and the second
        // to close the dialog.
        if (event.key === "Escape" && !composing(event) && !event.defaultPrevented) {
          event.preventDefault();
          event.stopPropagation();
          onClose();
        }
      }}
      onMouseDown={(event) => {
        // The target of a click on the backdrop is the dialog itself; the target of a click inside
        // is a child element.
        if (event.target === element.current) {
          onClose();
        }
      }}
    >
      <div class="dialog-frame">
        <header class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <IconButton icon="close" label={t().common.close} onClick={onClose} testid={testids.dialogClose} />
        </header>
        <div class="dialog-body">{children}</div>
        {footer !== undefined && footer !== false && <footer class="dialog-foot">{footer}</footer>}
      </div>
    </dialog>
  );
}
