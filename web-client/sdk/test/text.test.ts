import { readFileSync } from "node:fs";

import { expect, it } from "vitest";

import { normalizeBody } from "../src/send.js";

const vectors = JSON.parse(readFileSync(new URL("../../../shared-contracts/text/vectors/bodies.json", import.meta.url), "utf8")) as {
  given: string;
  body: string;
}[];

it.each(vectors)("sends $given with the server's line endings", ({ given, body }) => {
  expect(normalizeBody(given)).toBe(body);
});
