import { expect, it } from "vitest";

import { deviceOf } from "./device";

it.each([
  ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "Chrome on Linux"],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1", "Safari on iOS"],
  ["curl/8.5.0", "curl"],
  ["", "Unknown device"],
  ["my-bot/1.0", "my-bot/1.0"],
])("%s", (agent, want) => {
  expect(deviceOf(agent)).toBe(want);
});
