/** Lists the keyboard shortcuts. */

import type { JSX } from "preact";

import { Dialog } from "../components/dialog";
import { shortcuts } from "../state/shortcuts";

export default function Shortcuts(): JSX.Element {
  return (
    <Dialog title="Keyboard shortcuts">
      <dl class="shortcuts">
        {shortcuts.map(({ keys, does }) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
