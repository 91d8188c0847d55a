/** Typed listeners. */

export type Listener<T> = (value: T) => void;

/** Stops listening. */
export type Off = () => void;

/**
 * Hands values to listeners, in the order in which they came to listen. A listener that throws is reported
 * as an uncaught error and stops nobody: the protocol must not stand still for a mistake of a page.
 */
export class Emitter<Events extends object> {
  private readonly listeners = new Map<keyof Events, Set<Listener<never>>>();

  on<K extends keyof Events>(name: K, listener: Listener<Events[K]>): Off {
    let set = this.listeners.get(name);
    if (!set) this.listeners.set(name, (set = new Set()));
    // One function may listen twice; each is taken off by its own Off.
    const own: Listener<Events[K]> = (value) => listener(value);
    set.add(own);
    return () => set.delete(own);
  }

  emit<K extends keyof Events>(name: K, value: Events[K]): void {
    for (const listener of [...(this.listeners.get(name) ?? [])]) {
      try {
        (listener as Listener<Events[K]>)(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
