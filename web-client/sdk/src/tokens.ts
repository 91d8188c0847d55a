/** Access tokens and their renewal. Each refresh token can be used only once. */

import { ApiError, ClientError } from "./errors.js";
import type { Http, RawRequest } from "./http.js";
import type { LoggedIn } from "./rest-types.js";

/** Token is an access token, or the known properties of a token in a cookie. */
export interface Token {
  /** The token; absent if it is in a cookie, which scripts cannot read. */
  readonly access?: string;
  /** When the token expires, in milliseconds since 1970. 0 means unknown. */
  readonly expires: number;
}

export interface TokenRequest {
  /**
   * A token that must not be returned again, because the server has refused it or it expires soon.
   */
  readonly rejected?: Token | undefined;
  /** Whether to renew a token whose expiry is unknown instead of returning it. */
  readonly fresh?: boolean;
}

/** TokenSource provides access tokens. Concurrent callers share one renewal. */
export interface TokenSource {
  /** Returns a valid token. A non-retryable ApiError means that the session is over. */
  token(request?: TokenRequest): Promise<Token>;
  /** Stores the tokens from a login or a renewal. */
  accept(answer: LoggedIn): void;
  /**
   * Sends a request that ends the session and returns tokens for a new one. Renewals in all tabs
   * wait until it is complete.
   */
  exchange(path: string, body: object): Promise<void>;
  /**
   * Returns the token of the session that replaced the ended one, or undefined if there is none.
   * `ended` is a token of the ended session.
   */
  replacementFor(ended: Token): Promise<Token | undefined>;
  /** Discards the tokens of a session that is over. */
  forget(): void;
  /** Whether there may be a session. */
  readonly present: boolean;
  /**
   * The refresh token that a logout sends in addition to the access token; undefined if it is in a
   * cookie.
   */
  readonly refreshToken: string | undefined;
  /**
   * The token that proves at login that this device has logged in before. In cookie mode, the
   * browser sends it automatically.
   */
  readonly deviceToken: string | undefined;
  /** Whether a login returns the tokens in cookies or in the response body. */
  readonly mode: "cookie" | "bearer";
}

/**
 * The credentials of a bearer session, which a program saves between runs. Only the newest ones are
 * valid.
 */
export interface Credentials {
  readonly accessToken: string;
  readonly expires: number;
  readonly refreshToken: string;
  /**
   * The token that proves at the next login that this device has logged in before. With it, failed
   * logins on other devices do not lock this device out.
   */
  readonly deviceToken?: string | undefined;
}

/**
 * A session whose tokens are managed by the program, as in Node. If no tokens are given, the
 * session starts with `rest.logIn` or `rest.signUp`.
 */
export interface BearerAuth {
  readonly accessToken?: string;
  /**
   * When the access token expires, in milliseconds since 1970. If this is absent, the token is
   * renewed before its first use.
   */
  readonly expires?: number;
  readonly refreshToken?: string;
  /** The device token from an earlier session, even one that has ended. */
  readonly deviceToken?: string | undefined;
  /** Called with new credentials to save, before they are used. */
  readonly onRenewed?: (credentials: Credentials) => void;
}

/**
 * RENEW_AHEAD_MS is how long before its expiry a token is renewed. A token whose remaining lifetime
 * is less than three times this value is renewed after two thirds of that lifetime.
 */
const RENEW_AHEAD_MS = 60_000;

/**
 * renewIn returns the number of milliseconds to wait before renewing the token, or undefined if its
 * expiry is unknown.
 */
export function renewIn(token: Token, now: number): number | undefined {
  if (token.expires === 0) return undefined;
  const left = token.expires - now;
  // setTimeout accepts at most 2^31 - 1 ms.
  return Math.min(Math.max(left - Math.min(RENEW_AHEAD_MS, left / 3), 1_000), 2 ** 31 - 1);
}

const notLoggedIn = (): ApiError => new ApiError(401, "unauthenticated", "you are not logged in");

function expiresOf(answer: LoggedIn): number {
  return Date.now() + answer.expires_in * 1000;
}

/** SingleFlight runs one renewal at a time; concurrent callers share its result. */
class SingleFlight {
  private pending: Promise<Token> | undefined;

  run(renew: () => Promise<Token>): Promise<Token> {
    this.pending ??= renew().finally(() => (this.pending = undefined));
    return this.pending;
  }
}

/**
 * exchangeTokens sends a request as the user and stores the tokens from the response. If the access
 * token is refused, exchangeTokens renews it once and tries again.
 */
async function exchangeTokens(http: Http, tokens: TokenSource, path: string, body: object, exclusively: (send: () => Promise<void>) => Promise<void>): Promise<void> {
  let token = await tokens.token();
  const { deviceToken: device_token } = tokens;
  const known = device_token === undefined ? body : { ...body, device_token };
  const send = async (): Promise<void> =>
    tokens.accept(await http.send<LoggedIn>({ method: "POST", path, body: known, accessToken: token.access }));
  try {
    await exclusively(send);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "unauthenticated") throw error;
    token = await tokens.token({ rejected: token });
    await exclusively(send);
  }
}

/**
 * asUser sends a request as the session's user. If the access token is refused, asUser renews it
 * once and tries again.
 */
export async function asUser<T>(http: Http, tokens: TokenSource, request: Omit<RawRequest, "accessToken">): Promise<T> {
  let token: Token = await tokens.token();
  try {
    return await http.send<T>({ ...request, accessToken: token.access });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "unauthenticated") throw error;
    token = await tokens.token({ rejected: token });
    return http.send<T>({ ...request, accessToken: token.access });
  }
}

/** BearerTokens keeps the tokens in memory. */
export class BearerTokens implements TokenSource {
  readonly mode = "bearer";
  private held: Token;
  private refresh: string | undefined;
  private device: string | undefined;
  private readonly renewal = new SingleFlight();
  /**
   * Resolves when all queued requests are complete. Requests that use the refresh token run one at
   * a time, because each refresh token can be used only once.
   */
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly http: Http,
    private readonly auth: BearerAuth,
  ) {
    this.held = auth.accessToken ? { access: auth.accessToken, expires: auth.expires ?? 0 } : { expires: 0 };
    this.refresh = auth.refreshToken;
    this.device = auth.deviceToken;
  }

  get present(): boolean {
    return this.held.access !== undefined || this.refresh !== undefined;
  }

  get refreshToken(): string | undefined {
    return this.refresh;
  }

  get deviceToken(): string | undefined {
    return this.device;
  }

  async token(request: TokenRequest = {}): Promise<Token> {
    const { held } = this;
    const rejected = request.rejected !== undefined && request.rejected.access === held.access;
    // Without a refresh token, the access token cannot be renewed. So return it even if its expiry
    // is unknown.
    const good = held.expires > Date.now() || (this.refresh === undefined && held.expires === 0);
    if (held.access !== undefined && !rejected && good) return held;
    if (this.refresh === undefined) throw notLoggedIn();
    return this.renewal.run(() => this.serialized(() => this.renew(held)));
  }

  private serialized<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work);
    this.queue = done.catch(() => undefined);
    return done;
  }

  exchange(path: string, body: object): Promise<void> {
    return exchangeTokens(this.http, this, path, body, (send) => this.serialized(send));
  }

  async replacementFor(ended: Token): Promise<Token | undefined> {
    await this.queue;
    return this.held.access !== undefined && this.held.access !== ended.access ? this.held : undefined;
  }

  private async renew(known: Token): Promise<Token> {
    if (this.held !== known && this.held.expires > Date.now()) return this.held; // replaced while this renewal was queued
    this.accept(await this.http.send<LoggedIn>({ method: "POST", path: "/v1/refresh", body: { refresh_token: this.refresh } }));
    return this.held;
  }

  accept(answer: LoggedIn): void {
    const { access_token: accessToken } = answer;
    if (accessToken === undefined) throw new ClientError("internal", "the answer to a bearer login has no access token");
    const expires = expiresOf(answer);
    this.refresh = answer.refresh_token ?? this.refresh;
    this.device = answer.device_token ?? this.device; // only a login returns one
    this.auth.onRenewed?.({ accessToken, expires, refreshToken: this.refresh ?? "", deviceToken: this.device });
    this.held = { access: accessToken, expires };
  }

  forget(): void {
    this.held = { expires: 0 };
    this.refresh = undefined;
  }
}

/**
 * CookieTokens keeps the tokens in cookies that no script can read. All tabs share them, and using
 * a refresh token twice ends the session. So only one tab at a time renews the token, holding a Web
 * Lock, and saves the new token's expiry for the other tabs. Nothing else is stored, and the expiry
 * is not a secret.
 */
export class CookieTokens implements TokenSource {
  readonly mode = "cookie";
  readonly refreshToken = undefined;
  readonly deviceToken = undefined;
  private readonly renewal = new SingleFlight();
  private readonly key: string;
  /**
   * Resolves when all queued requests are complete. Without Web Locks, requests that use the
   * refresh token run one at a time.
   */
  private queue: Promise<unknown> = Promise.resolve();
  private memory: number | undefined;

  constructor(
    private readonly http: Http,
    private readonly storage: Storage | undefined,
    private readonly locks: LockManager | undefined,
  ) {
    this.key = `parley.session:${http.base}`;
  }

  /**
   * The expiry time of the access token in the cookie, in milliseconds since 1970. 0 means unknown;
   * undefined means that this browser is not logged in.
   */
  private get storedExpiry(): number | undefined {
    if (!this.storage) return this.memory;
    const text = this.storage.getItem(this.key);
    return text === null ? undefined : Number(text) || 0;
  }

  private set storedExpiry(expires: number | undefined) {
    this.memory = expires;
    if (expires === undefined) this.storage?.removeItem(this.key);
    else this.storage?.setItem(this.key, String(expires));
  }

  get present(): boolean {
    return this.storedExpiry !== undefined || !this.storage;
  }

  async token(request: TokenRequest = {}): Promise<Token> {
    const expires = this.storedExpiry ?? 0;
    const newer = this.newerThan(request.rejected);
    if (newer) return newer;
    if (!request.rejected && !request.fresh && expires === 0) return { expires };
    return this.renewal.run(() => this.locked(() => this.renew({ expires })));
  }

  /** newerThan returns the token in the cookie unless it has expired or is the rejected one. */
  private newerThan(rejected: Token | undefined): Token | undefined {
    const expires = this.storedExpiry ?? 0;
    return expires > Date.now() && expires !== rejected?.expires ? { expires } : undefined;
  }

  private locked<T>(work: () => Promise<T>): Promise<T> {
    if (this.locks) return this.locks.request(`${this.key}:renew`, work) as Promise<T>;
    const done = this.queue.then(work);
    this.queue = done.catch(() => undefined);
    return done;
  }

  exchange(path: string, body: object): Promise<void> {
    return exchangeTokens(this.http, this, path, body, (send) => this.locked(send));
  }

  replacementFor(ended: Token): Promise<Token | undefined> {
    return this.locked(() => Promise.resolve(this.newerThan(ended)));
  }

  private async renew(known: Token): Promise<Token> {
    const newer = this.newerThan(known); // another tab may have renewed it already
    if (newer) return newer;
    try {
      const answer = await this.http.send<LoggedIn>({ method: "POST", path: "/v1/refresh" });
      this.accept(answer);
      return { expires: this.storedExpiry ?? 0 };
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.forget();
      throw error;
    }
  }

  accept(answer: LoggedIn): void {
    // A token in a cookie is identified by its expiry, so no two tokens may have the same expiry.
    this.storedExpiry = Math.max(expiresOf(answer), (this.storedExpiry ?? 0) + 1);
  }

  forget(): void {
    this.storedExpiry = undefined;
  }
}
