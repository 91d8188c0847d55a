import { describe, expect, it } from "vitest";

import { kindOf } from "./requests";

const own = "https://chat.example";
const asked = (path: string, mode: RequestMode = "cors", method = "GET") => kindOf({ method, mode, url: new URL(path, own).href }, own);

describe("the service worker", () => {
  it("answers navigations to the page, whatever is linked", () => {
    for (const path of ["/", "/?x=1", "/c/0b9d3f52-6a07-4a39-a6f5-0d9e3cbb6b0a", "/c/x?m=7"]) {
      expect([path, asked(path, "navigate")]).toEqual([path, "page"]);
    }
  });

  it("answers requests for hashed files", () => {
    expect(asked("/assets/page-1a2b.js")).toBe("asset");
    expect(asked("/assets/page-1a2b.css", "no-cors")).toBe("asset");
  });

  it("leaves everything else to the browser", () => {
    for (const path of ["/ops", "/docs", "/openapi.yaml", "/v1/me", "/metrics", "/c/x/y", "/nothing", "/assets/page-1a2b.js"]) {
      expect([path, asked(path, "navigate")]).toEqual([path, undefined]);
    }
    for (const path of ["/", "/v1/channels", "/v1/avatars/a", "/v1/ops", "/ws", "/docs", "/metrics", "/sw.js", "/icon.svg", "https://elsewhere.example/assets/a.js"]) {
      expect([path, asked(path)]).toEqual([path, undefined]);
    }
    expect(asked("/assets/page-1a2b.js", "cors", "HEAD")).toBeUndefined();
    expect(asked("/", "navigate", "POST")).toBeUndefined();
  });
});
