import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

import { limitsIn } from "./src/ops/alert-rules.ts";
import { manualOf } from "./src/ops/manual.ts";
import { workerBuild } from "./worker-build.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// The server that `npm run dev` proxies to. The Host header is passed unchanged, so that the server
// treats the page's origin as its own and accepts its cookies.
const server = process.env["PARLEY_URL"] ?? "http://127.0.0.1:8080";
const proxied = { target: server, changeOrigin: false };

const alertRules = here("../deploy/prometheus/parley.rules.yml");
const operations = here("../docs/operations.md");

/** Provides the alerts' limits and the manual of the operator's tools to the operator's page. */
const operatorsPage: Plugin = {
  name: "operators-page",
  resolveId: (id) => (id === "virtual:alert-limits" ? `\0${id}` : undefined),
  load(id) {
    if (id !== "\0virtual:alert-limits") {
      return undefined;
    }
    this.addWatchFile(alertRules);
    return `export default ${JSON.stringify(limitsIn(readFileSync(alertRules, "utf8")))}`;
  },
  transformIndexHtml: (html) => html.replace(/<!-- manual: .* -->/, () => manualOf(readFileSync(operations, "utf8"))),
};

export default defineConfig({
  plugins: [operatorsPage, workerBuild()],
  resolve: {
    alias: {
      "@parley/client": here("sdk/src/index.ts"),
      ...Object.fromEntries(["entities", "linkify-it", "punycode.js"].map((name) => [name, here("src/lib/markdown-it-unused.ts")])),
    },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    // The style sheets use light-dark(), content-visibility and :has() without fallbacks.
    cssTarget: ["chrome123", "firefox128", "safari17.5"],
    // The content security policy allows neither inline scripts nor data: URLs. So every asset is a
    // separate file.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { main: here("index.html"), ops: here("ops.html"), sw: here("src/worker/sw.ts") },
      output: {
        // A service worker must keep its address, and controls only pages below that address.
        entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
        // Without these groups, the bundler would split the modules that the dialogs share with the
        // first load into ten small files, and each file would add its own response headers. The
        // `base` group, which /ops also uses, contains the modules named here and their imports. A
        // browser test limits its size.
        codeSplitting: {
          groups: [
            { name: "base", tags: ["$initial"], test: /\/(node_modules\/@?preact|sdk\/src\/access|src\/state\/preferences|src\/i18n\/locale)\b/, priority: 2 },
            { name: "page", tags: ["$initial"], test: /\/(src\/(components|i18n|lib|screens|state)|sdk\/src|node_modules)\//, priority: 1 },
          ],
        },
      },
    },
  },
  server: { proxy: { "/v1": proxied, "/docs": proxied, "/openapi.yaml": proxied, "/ws": { ...proxied, ws: true } } },
  // The timeouts are long, because tests must also pass on a busy machine. They only detect hangs.
  test: { include: ["src/**/*.test.{ts,tsx}"], environment: "node", server: { deps: { inline: ["markdown-it"] } }, testTimeout: 120_000, hookTimeout: 120_000 },
});
