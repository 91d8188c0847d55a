/** The errors that a caller may need to distinguish. */

import type { ProblemCode, ProblemField } from "./rest-types.js";

/** The codes of errors that the SDK itself raises, in addition to the server's codes. */
export type LocalCode =
  /**
   * close() was called before the response arrived, so it is unknown whether the request was
   * carried out.
   */
  | "closed"
  /** Too many sends are pending (`maxPending`). */
  | "full"
  /**
   * The request cannot be repeated safely. It was sent so long ago that the server may no longer
   * recognize a repetition as a duplicate. This client has not received all of the channel's events
   * since then.
   */
  | "unknown"
  /** There is no connection, and the request is not queued for the next one. */
  | "offline"
  /** discard() was called before the send was transmitted. */
  | "discarded"
  /** The message was acknowledged but could not be stored. */
  | "not_stored";

/**
 * ClientError is the base class of the SDK's errors. Programs should check `code`; the message is
 * for people.
 */
export class ClientError extends Error {
  constructor(
    readonly code: ProblemCode | LocalCode,
    message: string,
    /** The number of milliseconds after which a retry may succeed; 0 if unknown. */
    readonly retryAfterMs: number = 0,
    /** The invalid fields of the request. */
    readonly errors: readonly ProblemField[] = [],
  ) {
    super(message);
    this.name = "ClientError";
  }
}

/**
 * ApiError reports that the server refused a REST request, with the details from its problem
 * document.
 */
export class ApiError extends ClientError {
  constructor(
    readonly status: number,
    override readonly code: ProblemCode,
    readonly detail: string,
    errors: readonly ProblemField[] = [],
    retryAfterMs = 0,
    readonly requestID = "",
  ) {
    super(code, detail, retryAfterMs, errors);
    this.name = "ApiError";
  }
}

/** CloseError reports the end of a connection that the server closed or that was lost (1006). */
export class CloseError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
  ) {
    super(code === 1006 ? "the connection was lost" : `the server closed the connection with ${code} ${reason}`.trim());
    this.name = "CloseError";
  }
}

/** retryable reports whether the same request may succeed later. */
export function retryable(code: string): boolean {
  return code === "rate_limited" || code === "overloaded" || code === "unavailable" || code === "internal";
}
