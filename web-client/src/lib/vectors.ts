import { readFileSync } from "node:fs";

/** Inputs and results that the server's tests read too. For tests. */
export const vectors = <T>(name: string): T[] =>
  JSON.parse(readFileSync(new URL(`../../../shared-contracts/text/vectors/${name}.json`, import.meta.url), "utf8")) as T[];
