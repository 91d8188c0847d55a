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
 * limitsIn returns each alert's limit by the alert's name. It skips rules whose expression ends
 * neither in a comparison with a number (`> 60`) nor in `== 1`. `== 1` means a limit of 0 for a
 * metric that is 0 or 1.
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
