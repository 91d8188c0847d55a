/**
 * Counts the steps of a computation, for tests that compare inputs of different sizes. Unlike time,
 * the number of steps does not depend on the machine or its load.
 */

import { type Profiler, Session } from "node:inspector/promises";

/**
 * stepsOf returns the number of JavaScript blocks (bodies of functions, loops and branches) that f
 * executes, plus the number of characters that its searches examine.
 */
export async function stepsOf(f: () => void): Promise<number> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const restore = countSearches();
  f();
  const searched = restore();
  const { result } = (await session.post("Profiler.takePreciseCoverage")) as Profiler.TakePreciseCoverageReturnType;
  await session.post("Profiler.stopPreciseCoverage");
  session.disconnect();
  const executed = result.filter(({ url }) => /\/src\/lib\/(?!steps)|markdown-it|highlight\.js|lowlight/.test(url)).flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges));
  return searched + executed.reduce((sum, { count }) => sum + count, 0);
}

/**
 * countSearches counts the characters that built-in searches examine, until the returned function
 * is called.
 */
function countSearches(): () => number {
  let count = 0;
  const { exec } = RegExp.prototype;
  const { indexOf } = String.prototype;
  const { canParse } = URL;
  RegExp.prototype.exec = function (this: RegExp, text: string): RegExpExecArray | null {
    const from = this.sticky || this.global ? this.lastIndex : 0;
    const found = exec.call(this, text);
    count += 1 + (found === null ? (this.sticky ? 0 : text.length - from) : found.index + found[0].length - from);
    return found;
  };
  String.prototype.indexOf = function (this: string, word: string, from = 0): number {
    const at = indexOf.call(this, word, from);
    count += 1 + (at < 0 ? this.length : at) - from;
    return at;
  };
  URL.canParse = (address: string | URL): boolean => {
    count += String(address).length;
    return canParse(address);
  };
  return () => {
    RegExp.prototype.exec = exec;
    String.prototype.indexOf = indexOf;
    URL.canParse = canParse;
    return count;
  };
}
