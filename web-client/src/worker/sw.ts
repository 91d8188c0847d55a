/**
 * The service worker starts the page while the server is unreachable. It caches only the files of
 * one build: see `requests.ts`.
 *
 * A worker and its cache belong to one build. The worker of a new build is installed next to the
 * active one. By default, browsers make the new worker wait until no tab uses the active one. Until
 * then, both caches exist, and every tab finds the files of its own build.
 */

import { kindOf } from "./requests";

declare const self: ServiceWorkerGlobalScope;

/** The build's files. `worker-build.ts` defines this constant when the page is built. */
declare const BUILD: {
  /** A hash of all files. */
  readonly name: string;
  /** The subresource integrity of the page's HTML. */
  readonly integrity: string;
  /** The paths of the files whose names contain a content hash. */
  readonly files: readonly string[];
};

const PREFIX = "parley-";
const CACHE = PREFIX + BUILD.name;
/** The path under which the HTML is cached. All of the page's addresses have the same HTML. */
const PAGE = "/";
/**
 * MAX_PAGE_WAIT_MS is how long a navigation waits for the server before the cached page is shown.
 */
const MAX_PAGE_WAIT_MS = 3_000;

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const kind = kindOf(event.request, self.location.origin);
  if (kind !== undefined) {
    event.respondWith(kind === "page" ? page(event.request) : asset(event.request));
  }
});

/**
 * install caches the whole build or fails. It fails if the HTML belongs to another build, which is
 * possible while several server instances are being upgraded one after another. The browser tries
 * again later.
 */
async function install(): Promise<void> {
  const html = new Request(PAGE, { cache: "no-cache", integrity: BUILD.integrity });
  const files = BUILD.files.map((path) => new Request(path, { priority: "low" }));
  await (await caches.open(CACHE)).addAll([html, ...files]);
}

async function activate(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** page returns the server's response, or the cached page if the server is slow or fails. */
async function page(request: Request): Promise<Response> {
  const fetched = fetch(request);
  const response = await Promise.race([fetched.catch(() => undefined), after(MAX_PAGE_WAIT_MS)]);
  if (response !== undefined && response.status < 500) {
    return response;
  }
  return (await cached(PAGE, CACHE)) ?? fetched;
}

/**
 * asset returns a file from any build's cache, because a tab may use a build whose worker is still
 * waiting. This is safe, because different files never have the same name.
 */
async function asset(request: Request): Promise<Response> {
  return (await cached(request.url)) ?? fetch(request);
}

/**
 * cached returns a response from the cache, or undefined if the browser has deleted the cache or
 * cannot read it.
 */
function cached(url: string, cacheName?: string): Promise<Response | undefined> {
  return caches.match(url, { ignoreVary: true, ...(cacheName === undefined ? {} : { cacheName }) }).catch(() => undefined);
}

const after = (ms: number): Promise<undefined> => new Promise((resolve) => setTimeout(resolve, ms, undefined));
