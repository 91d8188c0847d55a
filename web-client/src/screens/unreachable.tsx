/** The screen for a server that cannot be reached. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { t } from "../i18n";

export function Unreachable({ onRetry }: { readonly onRetry: () => void }): JSX.Element {
  return (
    <main id="main" class="entry">
      <div class="entry-card">
        <h1>{t().app.unreachable}</h1>
        <p>{t().app.checkConnection}</p>
        <Button tone="primary" onClick={onRetry}>
          {t().common.tryAgain}
        </Button>
      </div>
    </main>
  );
}
