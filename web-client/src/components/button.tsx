/** Text buttons, and icon buttons whose label is read by screen readers and shown on hover. */

import type { ComponentChildren, JSX } from "preact";

import { Icon, type IconName } from "./icon";

interface Common {
  readonly onClick?: (event: MouseEvent) => void;
  readonly testid?: string | undefined;
  readonly disabled?: boolean | undefined;
}

interface ButtonProps extends Common {
  readonly children: ComponentChildren;
  readonly tone?: "plain" | "primary" | "danger" | "quiet";
  readonly submit?: boolean;
  /** The accessible name, if the visible text does not fully describe the button. */
  readonly label?: string | undefined;
  /** Whether the button receives the focus when its dialog opens. */
  readonly autofocus?: boolean;
}

export function Button({ children, onClick, testid, disabled, tone = "plain", submit = false, label, autofocus = false }: ButtonProps): JSX.Element {
  return (
    <button
      type={submit ? "submit" : "button"}
      class={`button button-${tone}`}
      aria-label={label}
      onClick={onClick}
      disabled={disabled}
      data-autofocus={autofocus ? "" : undefined}
      data-testid={testid}
    >
      {children}
    </button>
  );
}

interface IconButtonProps extends Common {
  readonly icon: IconName;
  /** The accessible name of the button, which has no visible text. */
  readonly label: string;
  readonly pressed?: boolean;
  /** The kind of popover that the button opens, and whether the popover is open. */
  readonly opens?: { readonly kind: "dialog" | "menu"; readonly open: boolean };
  readonly tabIndex?: number;
  readonly size?: number;
}

export function IconButton({ icon, label, onClick, testid, disabled, pressed, opens, tabIndex, size }: IconButtonProps): JSX.Element {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      aria-haspopup={opens?.kind}
      aria-expanded={opens?.open}
      tabIndex={tabIndex}
      onClick={onClick}
      disabled={disabled}
      data-testid={testid}
    >
      <Icon name={icon} {...(size === undefined ? {} : { size })} />
    </button>
  );
}
