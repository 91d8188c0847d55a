/** Lists the keyboard shortcuts. */

import type { JSX } from "preact";

import { Dialog } from "../components/dialog";
import { t } from "../i18n";

export default function Shortcuts(): JSX.Element {
  return (
    <Dialog title={t().shortcuts.title}>
      <dl class="shortcuts">
        {t().shortcuts.list.map(({ keys, does }) => (
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
