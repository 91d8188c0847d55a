import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Where `npm run dev` finds the services. The Host header goes through as it is, so that the server takes the
// dev server's origin for its own and accepts its cookies.
const server = process.env["PARLEY_URL"] ?? "http://127.0.0.1:8080";
const proxied = { target: server, changeOrigin: false };

export default defineConfig({
  resolve: { alias: { "@parley/client": here("sdk/src/index.ts") } },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    // light-dark(), content-visibility and :has() are used as they are.
    cssTarget: ["chrome123", "firefox128", "safari17.5"],
    // The policy allows no inline script and no data: but for pictures: every asset is a file of its own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: { main: here("index.html"), ops: here("ops.html") } },
  },
  server: { proxy: { "/v1": proxied, "/docs": proxied, "/openapi.yaml": proxied, "/ws": { ...proxied, ws: true } } },
  // A busy machine makes no test fail: the limits are for what hangs.
  test: { include: ["src/**/*.test.{ts,tsx}"], environment: "node", testTimeout: 120_000, hookTimeout: 120_000 },
});
