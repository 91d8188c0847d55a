/** An event emitter with typed events. */

export type Listener<T> = (value: T) => void;

/** Off removes a listener. */
export type Off = () => void;

/**
 * Emitter calls listeners in the order in which they were added. An error thrown by a listener is
 * reported as an uncaught error and does not prevent the other listeners from running: a bug in the
 * page must not break the protocol.
 */
export class Emitter<Events extends object> {
  private readonly listeners = new Map<keyof Events, Set<Listener<never>>>();

  on<K extends keyof Events>(name: K, listener: Listener<Events[K]>): Off {
    let set = this.listeners.get(name);
    if (!set) this.listeners.set(name, (set = new Set()));
    // If the same function is added twice, each returned Off function removes only its own
    // registration.
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
