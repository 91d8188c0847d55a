/** Access to one server: its address, the session's tokens, and the REST API that uses both. */

import { Http } from "./http.js";
import { Rest } from "./rest.js";
import { BearerTokens, CookieTokens, type BearerAuth, type TokenSource } from "./tokens.js";

/** The part of a client's configuration that REST requests need. */
export interface AccessConfig {
  /** The base URL of the REST API, http(s)://host. Default: the page's origin. */
  readonly url?: string;
  /**
   * Where the tokens are kept: in cookies (the default in a web page) or by the program (the
   * default elsewhere).
   */
  readonly auth?: "cookies" | BearerAuth;
  readonly fetch?: typeof globalThis.fetch;
}

export interface Access {
  readonly url: string;
  /** Whether this code runs in a web page. */
  readonly inPage: boolean;
  readonly tokens: TokenSource;
  readonly rest: Rest;
}

/** openAccess creates an Access from a configuration and applies the defaults. It does no I/O. */
export function openAccess(config: AccessConfig = {}): Access {
  const page = typeof document === "undefined" ? undefined : globalThis;
  const url = (config.url ?? page?.location.origin ?? "").replace(/\/$/, "");
  if (!/^https?:\/\/[^/]/.test(url)) throw new TypeError(`"${url}" is not a URL like https://chat.example`);
  const auth = config.auth ?? (page ? "cookies" : {});
  const http = new Http(url, config.fetch ?? globalThis.fetch.bind(globalThis), auth === "cookies");
  const tokens = auth === "cookies" ? new CookieTokens(http, storage(), globalThis.navigator?.locks) : new BearerTokens(http, auth);
  return { url, inPage: page !== undefined, tokens, rest: new Rest(http, tokens) };
}

/** storage returns localStorage if the environment provides it and the page may use it. */
function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
