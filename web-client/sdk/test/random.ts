/** Reproducible random numbers: a failing test reports its seed, and SEED=n repeats the run. */

export interface Seeded {
  readonly seed: number;
  /** A number from 0 up to, but not including, 1. */
  readonly random: () => number;
}

/** seeded returns a mulberry32 generator, seeded from SEED or the clock. */
export function seeded(): Seeded {
  const seed = Number(process.env["SEED"] ?? Date.now());
  let a = seed >>> 0;
  const random = (): number => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { seed, random };
}
