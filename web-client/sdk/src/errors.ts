/** What a caller may want to tell apart. */

import type { ProblemCode, ProblemField } from "./rest-types.js";

/** Codes that the SDK gives of itself, besides those of the server. */
export type LocalCode =
  /** close() was called before the answer came: whether it was done is not known. */
  | "closed"
  /** Too many sends are waiting (`maxPending`). */
  | "full"
  /**
   * It cannot be repeated safely: it was sent so long ago that the server does not know it as a repetition
   * any more, and the channel's events since then were not seen.
   */
  | "unknown"
  /** It makes sense at once or not at all, and there is no connection. */
  | "offline"
  /** It was acknowledged and could not be stored after all. */
  | "not_stored";

/** The base of what the SDK throws and tells. Branch on `code`; the message is for people. */
export class ClientError extends Error {
  constructor(
    readonly code: ProblemCode | LocalCode,
    message: string,
    /** How long to wait before the same may succeed, where that is known. */
    readonly retryAfterMs: number = 0,
  ) {
    super(message);
    this.name = "ClientError";
  }
}

/** What the server answers over REST to what it does not do: a problem document. */
export class ApiError extends ClientError {
  constructor(
    readonly status: number,
    override readonly code: ProblemCode,
    readonly detail: string,
    /** The wrong fields of a request. */
    readonly errors: readonly ProblemField[] = [],
    retryAfterMs = 0,
    readonly requestID = "",
  ) {
    super(code, detail, retryAfterMs);
    this.name = "ApiError";
  }
}

/** The end of a connection, by the server or on the way (1006). */
export class CloseError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
  ) {
    super(code === 1006 ? "the connection was lost" : `the server has closed the connection with ${code} ${reason}`.trim());
    this.name = "CloseError";
  }
}

/** Whether the same request may succeed later. */
export function retryable(code: string): boolean {
  return code === "rate_limited" || code === "overloaded" || code === "unavailable" || code === "internal";
}
