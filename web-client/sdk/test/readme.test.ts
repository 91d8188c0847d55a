import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, inject, it } from "vitest";

const run = promisify(execFile);
const here = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

it("runs the README's example for Node with the built package", async () => {
  await run(process.execPath, [here("node_modules/typescript/bin/tsc"), "-p", here("tsconfig.build.json")]);
  const readme = readFileSync(here("README.md"), "utf8");
  const example = /## In Node[\s\S]*?```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  // The file must be inside the package to import the package by name.
  writeFileSync(here("dist/readme-example.mjs"), example);
  const { stdout } = await run(process.execPath, [here("dist/readme-example.mjs")], {
    env: { ...process.env, PARLEY_URL: inject("server") },
  }).finally(() => rmSync(here("dist/readme-example.mjs")));
  expect(stdout).toMatch(/^\d+ ada-\w+: hello from Node$/m);
  expect(stdout).toMatch(/^sent as \d+$/m);
});
