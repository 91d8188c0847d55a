/**
 * A modal dialog that uses the browser's own dialog element. While it is open, the rest of the page
 * is inert, Tab stays inside, and Escape closes it. When it closes, the focus returns to where it
 * was.
 */

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

import { t } from "../i18n";
import { closeDialog } from "../state/dialog";
import { testids } from "../testids";
import { IconButton } from "./button";

interface DialogProps {
  readonly title: string;
  readonly children: ComponentChildren;
  readonly size?: "small" | "normal" | "wide";
}

export function Dialog({ title, children, size = "normal" }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const shown = element.current;
    shown?.showModal();
    // Without data-autofocus, the browser would focus the close button.
    shown?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={element}
      class={`dialog dialog-${size}`}
      aria-labelledby={heading}
      data-testid={testids.dialog}
      onCancel={(event) => {
        event.preventDefault();
        closeDialog();
      }}
      onMouseDown={(event) => {
        // The target of a click on the backdrop is the dialog itself; the target of a click inside
        // is a child element.
        if (event.target === element.current) {
          closeDialog();
        }
      }}
    >
      <div class="dialog-frame">
        <header class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <IconButton icon="close" label={t().common.close} onClick={closeDialog} testid={testids.dialogClose} />
        </header>
        <div class="dialog-body">{children}</div>
      </div>
    </dialog>
  );
}
