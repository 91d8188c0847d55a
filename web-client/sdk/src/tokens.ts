/** Who one is: access tokens, and how they are renewed. Each refresh token is good once. */

import { ApiError, ClientError } from "./errors.js";
import type { Http } from "./http.js";
import type { LoggedIn } from "./rest-types.js";

/** An access token, or what is known of the one in a cookie. */
export interface Token {
  /** Absent: it is in a cookie, which only the browser reads. */
  readonly access?: string;
  /** When it ends, in milliseconds since 1970. 0: not known. */
  readonly expires: number;
}

export interface TokenQuestion {
  /** A token that the server has not taken, or will not take for much longer. */
  readonly rejected?: Token | undefined;
  /** Renew rather than try a token of which nothing is known. */
  readonly certain?: boolean;
}

/** Gives tokens. However many ask at once, one renewal serves all. */
export interface TokenSource {
  /** An ApiError that no later try can mend means that the session is over. */
  token(question?: TokenQuestion): Promise<Token>;
  /** A login or a renewal has brought this. */
  take(answer: LoggedIn): void;
  /** Makes a request that ends the session and is answered with the next one. Renewals wait for it, in all tabs. */
  exchange(path: string, body: object): Promise<void>;
  /** The token of a session that has replaced the one of `than`, whose session has ended; undefined: there is none. */
  replaced(than: Token): Promise<Token | undefined>;
  /** The session is over. */
  forget(): void;
  /** Whether there may be a session. */
  readonly present: boolean;
  /** What a logout names the session with, besides its access token. */
  readonly refreshToken: string | undefined;
  /** What a login shows, besides the password, that this device has logged in before; cookies go along by themselves. */
  readonly deviceToken: string | undefined;
  /** How a login says where the tokens go. */
  readonly mode: "cookie" | "bearer";
}

/** What a bearer session is kept as, between runs of a program. The newest is to be kept. */
export interface Credentials {
  readonly accessToken: string;
  readonly expires: number;
  readonly refreshToken: string;
  /** Shows at the next login that this device has logged in before: wrong passwords from elsewhere do not keep it out. */
  readonly deviceToken?: string | undefined;
}

/** A session in the program's own hands, as in Node. Without tokens it begins with `rest.logIn` or `rest.signUp`. */
export interface BearerAuth {
  readonly accessToken?: string;
  /** When the access token ends, in milliseconds since 1970. Absent: it is renewed before its first use. */
  readonly expires?: number;
  readonly refreshToken?: string;
  /** Of an earlier session, even of one that has ended. */
  readonly deviceToken?: string | undefined;
  /** Is called with what is to be kept, before it is used. */
  readonly onRenewed?: (kept: Credentials) => void;
}

/** How long before its end a token is renewed, at most; a short one after two thirds. */
const RENEW_AHEAD_MS = 60_000;

/** How long to wait before a token is renewed; undefined: it is not known when it ends. */
export function renewIn(token: Token, now: number): number | undefined {
  if (token.expires === 0) return undefined;
  const left = token.expires - now;
  // Longer waits than a timer can have do not occur: they are cut.
  return Math.min(Math.max(left - Math.min(RENEW_AHEAD_MS, left / 3), 1_000), 2 ** 31 - 1);
}

const notLoggedIn = (): ApiError => new ApiError(401, "unauthenticated", "you are not logged in");

function expiresOf(answer: LoggedIn): number {
  return Date.now() + answer.expires_in * 1000;
}

/** Lets one renewal at a time run; whoever asks meanwhile gets its outcome. */
class SingleFlight {
  private flight: Promise<Token> | undefined;

  run(renew: () => Promise<Token>): Promise<Token> {
    this.flight ??= renew().finally(() => (this.flight = undefined));
    return this.flight;
  }
}

/** Sends a request as the user of the session; a token that was not taken is renewed once. */
async function exchanged(http: Http, tokens: TokenSource, path: string, body: object, alone: (send: () => Promise<void>) => Promise<void>): Promise<void> {
  let token = await tokens.token();
  const { deviceToken: device_token } = tokens;
  const known = device_token === undefined ? body : { ...body, device_token };
  const send = async (): Promise<void> =>
    tokens.take(await http.send<LoggedIn>({ method: "POST", path, body: known, accessToken: token.access }));
  try {
    await alone(send);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "unauthenticated") throw error;
    token = await tokens.token({ rejected: token });
    await alone(send);
  }
}

/** Tokens in the program's own hands. */
export class BearerTokens implements TokenSource {
  readonly mode = "bearer";
  private held: Token;
  private refresh: string | undefined;
  private device: string | undefined;
  private readonly renewal = new SingleFlight();
  /** One after the other: what gives another refresh token. */
  private turns: Promise<unknown> = Promise.resolve();

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

  async token(question: TokenQuestion = {}): Promise<Token> {
    const { held } = this;
    const rejected = question.rejected !== undefined && question.rejected.access === held.access;
    // Without a refresh token there is only this one, whatever is known of it.
    const good = held.expires > Date.now() || (this.refresh === undefined && held.expires === 0);
    if (held.access !== undefined && !rejected && good) return held;
    if (this.refresh === undefined) throw notLoggedIn();
    return this.renewal.run(() => this.inTurn(() => this.renew(held)));
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turns.then(work);
    this.turns = done.catch(() => undefined);
    return done;
  }

  exchange(path: string, body: object): Promise<void> {
    return exchanged(this.http, this, path, body, (send) => this.inTurn(send));
  }

  async replaced(than: Token): Promise<Token | undefined> {
    await this.turns;
    return this.held.access !== undefined && this.held.access !== than.access ? this.held : undefined;
  }

  private async renew(known: Token): Promise<Token> {
    if (this.held !== known && this.held.expires > Date.now()) return this.held; // another session has come
    this.take(await this.http.send<LoggedIn>({ method: "POST", path: "/v1/refresh", body: { refresh_token: this.refresh } }));
    return this.held;
  }

  take(answer: LoggedIn): void {
    const { access_token: accessToken } = answer;
    if (accessToken === undefined) throw new ClientError("internal", "the answer to a bearer login has no access token");
    const expires = expiresOf(answer);
    this.refresh = answer.refresh_token ?? this.refresh;
    this.device = answer.device_token ?? this.device; // only a login gives another
    this.auth.onRenewed?.({ accessToken, expires, refreshToken: this.refresh ?? "", deviceToken: this.device });
    this.held = { access: accessToken, expires };
  }

  forget(): void {
    this.held = { expires: 0 };
    this.refresh = undefined;
  }
}

/**
 * Tokens in cookies that no script can read. All tabs share them, and a refresh token that comes twice ends
 * the session: so one tab at a time renews, under a Web Lock, and leaves a note for the others of when the
 * new token ends. The note is all that is stored; it holds no secret.
 */
export class CookieTokens implements TokenSource {
  readonly mode = "cookie";
  readonly refreshToken = undefined;
  readonly deviceToken = undefined;
  private readonly renewal = new SingleFlight();
  private readonly key: string;
  /** One after the other, where there are no locks: what gives another refresh token. */
  private turns: Promise<unknown> = Promise.resolve();
  private memory: number | undefined;

  constructor(
    private readonly http: Http,
    private readonly storage: Storage | undefined,
    private readonly locks: LockManager | undefined,
  ) {
    this.key = `parley.session:${http.base}`;
  }

  /** When the token in the cookie ends. 0: not known; undefined: there was no login here. */
  private get note(): number | undefined {
    if (!this.storage) return this.memory;
    const text = this.storage.getItem(this.key);
    return text === null ? undefined : Number(text) || 0;
  }

  private set note(expires: number | undefined) {
    this.memory = expires;
    if (expires === undefined) this.storage?.removeItem(this.key);
    else this.storage?.setItem(this.key, String(expires));
  }

  get present(): boolean {
    return this.note !== undefined || !this.storage;
  }

  async token(question: TokenQuestion = {}): Promise<Token> {
    const expires = this.note ?? 0;
    const fresh = this.newer(question.rejected);
    if (fresh) return fresh;
    if (!question.rejected && !question.certain && expires === 0) return { expires };
    return this.renewal.run(() => this.locked(() => this.renew({ expires })));
  }

  /** The token that the note tells of, unless it has ended or is the one that was rejected. */
  private newer(than: Token | undefined): Token | undefined {
    const expires = this.note ?? 0;
    return expires > Date.now() && expires !== than?.expires ? { expires } : undefined;
  }

  private locked<T>(work: () => Promise<T>): Promise<T> {
    if (this.locks) return this.locks.request(`${this.key}:renew`, work) as Promise<T>;
    const done = this.turns.then(work);
    this.turns = done.catch(() => undefined);
    return done;
  }

  exchange(path: string, body: object): Promise<void> {
    return exchanged(this.http, this, path, body, (send) => this.locked(send));
  }

  replaced(than: Token): Promise<Token | undefined> {
    return this.locked(() => Promise.resolve(this.newer(than)));
  }

  private async renew(known: Token): Promise<Token> {
    const fresh = this.newer(known); // another tab was faster
    if (fresh) return fresh;
    try {
      const answer = await this.http.send<LoggedIn>({ method: "POST", path: "/v1/refresh" });
      this.take(answer);
      return { expires: this.note ?? 0 };
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.forget();
      throw error;
    }
  }

  take(answer: LoggedIn): void {
    // Tokens are told apart by their ends.
    this.note = Math.max(expiresOf(answer), (this.note ?? 0) + 1);
  }

  forget(): void {
    this.note = undefined;
  }
}
