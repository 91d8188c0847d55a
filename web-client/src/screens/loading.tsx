/** Shown instead of a channel until its details have been loaded. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { Button } from "../components/button";
import { ConnectionStatus } from "../components/connection-status";
import { t } from "../i18n";
import { readMissing } from "../state/channels";
import { testids } from "../testids";

/** The number of attempts to read the details before the screen shows an error. */
export const ATTEMPTS = 4;
/** The delay before the first attempt, in milliseconds. It doubles with each attempt. */
export const FIRST_DELAY_MS = 1000;

/**
 * LoadingScreen waits for the channel's details. The page requests them when it loads, and again
 * when it connects. If a request fails, LoadingScreen retries it. After ATTEMPTS failures, it waits
 * until the user retries or the page reconnects.
 */
export function LoadingScreen({ channelID }: { readonly channelID: string }): JSX.Element {
  const [failed, setFailed] = useState(false);
  useEffect(() => (failed ? undefined : repeat(() => readMissing(channelID), () => setFailed(true))), [channelID, failed]);
  const main = useRef<HTMLElement>(null);
  const tryAgain = (): void => {
    main.current?.focus(); // the button disappears
    setFailed(false);
    readMissing(channelID).catch(() => undefined); // if it fails, the next attempt follows
  };
  return (
    <main ref={main} id="main" class="main" tabIndex={-1}>
      <header class="main-head">
        <div class="main-head-title" />
        <ConnectionStatus />
      </header>
      <div class="empty">
        {failed ? (
          <>
            <div role="alert">
              <h1>{t().channel.notLoaded}</h1>
              <p>{t().app.checkConnection}</p>
            </div>
            <Button tone="primary" onClick={tryAgain} testid={testids.tryAgain}>
              {t().common.tryAgain}
            </Button>
          </>
        ) : (
          <h1>{t().common.loading}</h1>
        )}
      </div>
    </main>
  );
}

/**
 * repeat calls `work` until it succeeds, and gives up after ATTEMPTS failures. It returns a
 * function that stops the attempts.
 */
function repeat(work: () => Promise<void>, giveUp: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  let stopped = false;
  const after = (failures: number): void => {
    timer = setTimeout(() => {
      work().catch(() => {
        if (!stopped) {
          (failures + 1 < ATTEMPTS ? after : giveUp)(failures + 1);
        }
      });
    }, FIRST_DELAY_MS * 2 ** failures);
  };
  after(0);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
