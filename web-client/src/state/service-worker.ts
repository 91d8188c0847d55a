/** Registers the service worker, which starts the page while the server is unreachable. */

import { canStartOffline } from "./offline-store";

let requested = false;

/**
 * installWorker registers the service worker once the browser is idle, so that the downloads for
 * its cache do not delay the page. If the registration fails, for example because the browser
 * allows no storage, the page works without it. The development server has no worker.
 */
export function installWorker(): void {
  if (requested || !canStartOffline() || import.meta.env.DEV) {
    return;
  }
  requested = true;
  const register = (): void => void navigator.serviceWorker.register("/sw.js").catch(() => undefined);
  if ("requestIdleCallback" in globalThis) {
    requestIdleCallback(register, { timeout: 10_000 });
  } else {
    setTimeout(register, 1_000); // Safari
  }
}
