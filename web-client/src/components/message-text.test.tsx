// @vitest-environment happy-dom
import { render } from "preact";
import { expect, it } from "vitest";

import { MessageText } from "./message-text";

const draw = (body: string): HTMLElement => {
  const root = document.createElement("div");
  render(<MessageText body={body} mentioned={new Map([["ann", true], ["bob", false]])} />, root);
  return root;
};

it.each([
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)</script>",
  "[x](javascript:alert(1)) javascript:alert(1) data:text/html,<b>x</b>",
  "```\n</pre><script>alert(1)</script>\n```",
  '`<a href="javascript:x">`',
  "**<svg onload=alert(1)>**",
  "https://a.example/\"onmouseover=alert(1)",
])("keeps %s text", (body) => {
  const root = draw(body);
  expect(root.querySelector("img, script, svg, [onerror], [onload], [onmouseover], a[href^='javascript'], a[href^='data']")).toBeNull();
});

it("adds rel attributes to links that hide the opener and the referrer", () => {
  const link = draw("see https://a.example/x").querySelector("a");
  expect(link?.getAttribute("href")).toBe("https://a.example/x");
  expect(link?.getAttribute("rel")).toBe("noopener noreferrer nofollow");
});

it("highlights mentions of the reader", () => {
  const root = draw("@ann and @bob, not @nobody nor `@bob`");
  expect([...root.querySelectorAll(".mention")].map((m) => m.classList.contains("mention-me"))).toEqual([true, false]);
});
