/**
 * An inline name that opens a popover when it is clicked. It is not a button element, because
 * browsers render a button as a box that does not wrap, and omit its text when the user copies the
 * surrounding text.
 */

import type { ComponentChildren, JSX } from "preact";

interface TextButtonProps {
  readonly class: string;
  /** Whether Tab reaches it. */
  readonly reachable: boolean;
  readonly onPress: (event: Event) => void;
  readonly children: ComponentChildren;
  readonly dir?: "auto" | "ltr";
  readonly testid?: string;
}

export function TextButton({ class: name, reachable, onPress, children, dir, testid }: TextButtonProps): JSX.Element {
  return (
    <span
      role="button"
      class={`text-button ${name}`}
      dir={dir}
      tabIndex={reachable ? 0 : -1}
      aria-haspopup="dialog"
      onClick={onPress}
      onKeyDown={(event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          onPress(event);
        }
      }}
      data-testid={testid}
    >
      {children}
    </span>
  );
}
