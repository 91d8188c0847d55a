/** A button for an action that removes its row from a list. */

import type { ComponentChildren, JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { Button } from "./button";

interface OnceProps {
  readonly children: ComponentChildren;
  /** The accessible name, if the text alone does not say what the button is about. */
  readonly label?: string;
  readonly testid: string;
  /** act returns false if the server refused. */
  readonly act: () => Promise<boolean>;
  /** The text that replaces the button. */
  readonly done: string;
}

/**
 * Once is a button that is replaced by a short status when its action has succeeded. Its row stays
 * until the list is reloaded for another reason. If the row disappeared immediately, the next row
 * would move under the pointer, and a double click would also act on the person in that row.
 */
export function Once({ children, label, testid, act, done }: OnceProps): JSX.Element {
  const [acted, setActed] = useState(false);
  const busy = useRef(false);
  const onClick = async (): Promise<void> => {
    if (!busy.current) {
      busy.current = true; // the second click of a double click must not act again
      setActed(await act());
      busy.current = false;
    }
  };
  return acted ? (
    <span class="role">{done}</span>
  ) : (
    <Button onClick={() => void onClick()} label={label} testid={testid}>
      {children}
    </Button>
  );
}
