/** The state of the connection, always visible. */

import type { JSX } from "preact";

import { t } from "../i18n";
import { sdk } from "../state/client";
import { connection, connectionText } from "../state/connection";
import { testids } from "../testids";

export function ConnectionStatus(): JSX.Element {
  const { tone, text, waiting } = connectionText.value;
  return (
    <div class={`connection connection-${tone}`} data-testid={testids.connection} data-state={connection.value.name}>
      <span class="connection-dot" aria-hidden="true" />
      <span class="connection-text">{text}</span>
      {waiting && (
        <button type="button" class="link-button" onClick={() => sdk().retryNow()} data-testid={testids.retryNow}>
          {t().connection.tryNow}
        </button>
      )}
    </div>
  );
}
