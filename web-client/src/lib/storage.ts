/** What the page keeps in the browser. A browser that keeps nothing (private windows, full disks) costs the memory, nothing else. */

const PREFIX = "parley.";

export function stored<T>(key: string, fallback: T, valid: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(PREFIX + key) ?? "null");
    return valid(value) ? value : fallback;
  } catch {
    return fallback;
  }
}

export function store(key: string, value: unknown): void {
  try {
    if (value === undefined || value === null) {
      localStorage.removeItem(PREFIX + key);
    } else {
      localStorage.setItem(PREFIX + key, JSON.stringify(value));
    }
  } catch {
    // Full or forbidden: it is kept as long as the page is open.
  }
}
