/** Which requests the service worker answers. */

/** "page" is the page's HTML; "asset" is a built file with a content hash in its name. */
export type Kind = "page" | "asset";

/**
 * kindOf returns the kind of a request, or undefined if the worker must leave it to the browser.
 * The worker handles only the requests listed here, so the API, the operator's page and everything
 * that a later release adds are never cached.
 */
export function kindOf({ method, mode, url }: Pick<Request, "method" | "mode" | "url">, ownOrigin: string): Kind | undefined {
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== ownOrigin) {
    return undefined;
  }
  if (mode === "navigate") {
    return pathname === "/" || /^\/c\/[^/]+$/.test(pathname) ? "page" : undefined;
  }
  return pathname.startsWith("/assets/") ? "asset" : undefined;
}
