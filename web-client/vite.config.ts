import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// The server that `npm run dev` proxies to. The Host header is passed unchanged, so that the server
// treats the page's origin as its own and accepts its cookies.
const server = process.env["PARLEY_URL"] ?? "http://127.0.0.1:8080";
const proxied = { target: server, changeOrigin: false };

export default defineConfig({
  resolve: {
    alias: {
      "@parley/client": here("sdk/src/index.ts"),
      ...Object.fromEntries(["entities", "linkify-it", "punycode.js"].map((name) => [name, here("src/lib/markdown-it-unused.ts")])),
    },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    // light-dark(), content-visibility and :has() are used without fallbacks.
    cssTarget: ["chrome123", "firefox128", "safari17.5"],
    // The content security policy allows no inline scripts, and data: only for images, so every
    // asset is a separate file.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { main: here("index.html"), ops: here("ops.html") },
      output: {
        // Without these groups, the modules that the dialogs share with the first load are spread
        // over ten small files, each with its own headers. `base` is the part that /ops uses too.
        codeSplitting: {
          groups: [
            { name: "base", tags: ["$initial"], test: /\/(src\/(i18n|lib|components\/message-text)|sdk\/src|node_modules)\b/, priority: 2 },
            { name: "page", tags: ["$initial"], test: /\/src\/(components|screens|state)\//, priority: 1 },
          ],
        },
      },
    },
  },
  server: { proxy: { "/v1": proxied, "/docs": proxied, "/openapi.yaml": proxied, "/ws": { ...proxied, ws: true } } },
  // The timeouts only detect hangs: tests must pass on a busy machine.
  test: { include: ["src/**/*.test.{ts,tsx}"], environment: "node", server: { deps: { inline: ["markdown-it"] } }, testTimeout: 120_000, hookTimeout: 120_000 },
});
