/**
 * Values stored in the browser. If the browser cannot store a value (because the window is private
 * or the disk is full), the value is lost on reload.
 */

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
    // Storage is full or forbidden, so the value lasts only until the page is closed.
  }
}

/** onStored calls `changed` when another tab has changed the stored value. */
export function onStored(key: string, changed: () => void): void {
  addEventListener("storage", (event) => {
    if (event.key === PREFIX + key || event.key === null) {
      changed(); // the key is null if everything was removed
    }
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      changed(); // pages in the back/forward cache get no storage events
    }
  });
}

/** storedKeys returns the keys of all stored values. */
export function storedKeys(): readonly string[] {
  try {
    const keys = Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i) ?? "");
    return keys.filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}
