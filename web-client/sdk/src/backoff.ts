/** Retry delays: exponential backoff with full jitter. */

/** FIRST_MS is the maximum delay before the first reconnection attempt. */
const FIRST_MS = 1_000;
/** MAX_MS is the maximum delay before any attempt. */
const MAX_MS = 30_000;

/**
 * ceiling returns the maximum delay, in milliseconds, after the given number of consecutive
 * failures.
 */
export function ceiling(failures: number): number {
  return Math.min(FIRST_MS * 2 ** Math.min(failures, 5), MAX_MS);
}

/**
 * jitter returns a random delay of up to `limit`, so that clients that lost their connections
 * together do not all reconnect at the same moment.
 */
export function jitter(limit: number): number {
  return Math.random() * limit;
}

/** Wait is a delay that can be ended early. */
export class Wait {
  private end: (() => void) | undefined;

  /** Resolves after ms milliseconds, or as soon as wake() is called. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wake(), ms);
      this.end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  wake(): void {
    const end = this.end;
    this.end = undefined;
    end?.();
  }
}
