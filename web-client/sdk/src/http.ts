/** HTTP requests, and the problem documents that describe their errors. */

import { ApiError, ClientError } from "./errors.js";
import type { Problem, ProblemCode } from "./rest-types.js";

const RESPONSE_TIMEOUT_MS = 30_000;

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** RawRequest is a complete request, including its credentials. */
export interface RawRequest extends RequestOptions {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly accessToken?: string | undefined;
}

/** Http sends requests to one server. It does not handle sessions. */
export class Http {
  constructor(
    readonly base: string,
    private readonly fetch: typeof globalThis.fetch,
    /** Whether requests include the browser's cookies, even if the server has another origin. */
    private readonly cookies: boolean,
  ) {}

  async send<T>(request: RawRequest): Promise<T> {
    const { method, path } = request;
    const headers: Record<string, string> = { Accept: "application/json", ...request.headers };
    if (request.body !== undefined) headers["Content-Type"] = "application/json";
    if (request.accessToken) headers["Authorization"] = `Bearer ${request.accessToken}`;
    const deadline = new AbortController();
    const abort = (): void => deadline.abort(request.signal?.reason);
    const timer = setTimeout(abort, RESPONSE_TIMEOUT_MS);
    if (request.signal?.aborted) abort();
    request.signal?.addEventListener("abort", abort);
    try {
      const response = await this.fetch(this.base + path, {
        method,
        headers,
        body: request.body === undefined ? null : JSON.stringify(request.body),
        credentials: this.cookies ? "include" : "omit",
        signal: deadline.signal,
      });
      const text = await response.text();
      if (!response.ok) throw problem(response, text);
      return (text === "" ? undefined : JSON.parse(text)) as T;
    } catch (error) {
      if (error instanceof ClientError) throw error;
      request.signal?.throwIfAborted();
      throw Object.assign(new ClientError("offline", `${method} ${path}: the server is unreachable`), { cause: error });
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", abort);
    }
  }
}

/**
 * problem parses a problem document. For any other error response, such as one from a proxy, it
 * derives the code from the status.
 */
function problem(response: Response, text: string): ApiError {
  let document: Partial<Problem> = {};
  try {
    document = JSON.parse(text) as Partial<Problem>;
  } catch {
    // Not a problem document: the code is derived from the status.
  }
  const seconds = Number(response.headers.get("Retry-After") ?? "");
  return new ApiError(
    response.status,
    document.code ?? codeOf(response.status),
    document.detail ?? `${response.status} ${response.statusText}`.trim(),
    document.errors ?? [],
    Number.isFinite(seconds) ? seconds * 1000 : 0,
    document.request_id ?? "",
  );
}

function codeOf(status: number): ProblemCode {
  if (status === 401) return "unauthenticated";
  if (status === 429) return "rate_limited";
  return status >= 500 ? "unavailable" : "invalid_request";
}
