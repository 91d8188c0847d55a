/**
 * Reads the limits of the alerts from the Prometheus rules. The build runs this code, so that the
 * page and the alerts have the same limits; see vite.config.ts.
 */

/**
 * The alert fires if its metric stays above `above` for `period` ("5m"), or immediately if `period`
 * is empty.
 */
export interface Limit {
  readonly above: number;
  readonly period: string;
}

/**
 * limitsIn returns the alerts' limits, keyed by the alert's name. It includes only rules whose
 * expression ends with a comparison with a number (`> 60`) or with `== 1`. A metric that is
 * compared with `== 1` is either 0 or 1, so its limit is 0.
 */
export function limitsIn(rules: string): Readonly<Record<string, Limit>> {
  const limits: Record<string, Limit> = {};
  for (const [, name = "", expr = "", period = ""] of rules.matchAll(/^ *- alert: (\w+)\n +expr: (.+)\n(?: +for: (\w+)\n)?/gm)) {
    const above = / == 1$/.test(expr) ? "0" : / > ([\d.]+)$/.exec(expr)?.[1];
    if (above !== undefined) {
      limits[name] = { above: Number(above), period };
    }
  }
  return limits;
}
