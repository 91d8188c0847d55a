import { readFileSync } from "node:fs";

/** vectors returns test vectors that the server's tests also use. */
export const vectors = <T>(name: string): T[] =>
  JSON.parse(readFileSync(new URL(`../../../shared-contracts/text/vectors/${name}.json`, import.meta.url), "utf8")) as T[];
