/** Adds the list of built files to the service worker; see `src/worker/sw.ts`. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Plugin } from "vite";

export function workerBuild(): Plugin {
  return {
    name: "parley-worker-build",
    apply: "build",
    writeBundle({ dir = "" }) {
      const code = readFileSync(join(dir, "sw.js"), "utf8");
      if (/\b(import|export)\b/.test(code)) {
        throw new Error("sw.js is a module; a service worker must be a single script");
      }
      // The operator's page is not cached, because it is useless without the server.
      const assets = readdirSync(join(dir, "assets")).filter((name) => !name.startsWith("ops-"));
      const files = assets.sort().map((name) => `/assets/${name}`);
      const html = readFileSync(join(dir, "index.html"));
      const integrity = `sha256-${createHash("sha256").update(html).digest("base64")}`;
      const name = createHash("sha256").update(JSON.stringify([integrity, files, code])).digest("hex").slice(0, 12);
      writeFileSync(join(dir, "sw.js"), `const BUILD=${JSON.stringify({ name, integrity, files })};\n${code}`);
    },
  };
}
