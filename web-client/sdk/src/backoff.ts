/** How long to wait before something is tried again. */

/** The most that is waited before the first attempt to connect again. */
const FIRST_MS = 1_000;
/** The most before any. */
const LONGEST_MS = 30_000;

/** The most that is waited after so many failures in a row. */
export function ceiling(failures: number): number {
  return Math.min(FIRST_MS * 2 ** Math.min(failures, 5), LONGEST_MS);
}

/** Full jitter: anything up to limit, so that clients that were cut off together do not come back together. */
export function jitter(limit: number): number {
  return Math.random() * limit;
}

/** A wait that can be cut short. */
export class Wait {
  private end: (() => void) | undefined;

  /** Resolves after ms, or at once with wake(). */
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
