// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { describe, expect, it, vi } from "vitest";

import { parser } from "../state/bodies";
import { MessageText } from "./message-text";

const MENTIONED = new Map([["ann", { userID: "1", me: true }], ["bob", { userID: "2", me: false }], ["channel", { me: true }]]);

/** draw shows a body and waits until the parser of marks is loaded. */
async function draw(body: string): Promise<HTMLElement> {
  const root = document.createElement("div");
  await act(() => render(<MessageText body={body} mentioned={MENTIONED} />, root));
  return root;
}

async function loadParser(): Promise<void> {
  await draw("*load*");
  await vi.waitUntil(() => parser.value !== undefined, { timeout: 100_000 });
}

describe("before the parser of marks is loaded", () => {
  it("a body is shown as typed, with its links and mentions", async () => {
    const root = await draw("**@ann** https://a.example");
    expect(parser.value).toBeUndefined();
    expect(root.textContent).toBe("**@ann** https://a.example");
    expect(root.querySelectorAll("a, .mention")).toHaveLength(2);
    await vi.waitUntil(() => parser.value !== undefined, { timeout: 100_000 });
    await vi.waitFor(() => expect(root.querySelector("strong")?.textContent).toBe("@ann"), { timeout: 100_000 });
  });
});

it.each([
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)</script>",
  "[x](javascript:alert(1)) javascript:alert(1) data:text/html,<b>x</b>",
  "[x](java\nscript:alert(1)) [x](&#106;avascript:alert(1)) [x](<javascript:alert(1)>)",
  "![x](https://a.example/x.png) ![x](data:image/svg+xml,x)",
  "```\n</pre><script>alert(1)</script>\n```",
  "```js\"onload=alert(1)\nx\n```",
  '`<a href="javascript:x">`',
  "**<svg onload=alert(1)>**",
  "> <img src=x onerror=alert(1)>\n- <svg onload=alert(1)>",
  "a|b\n-|-\n<img src=x onerror=alert(1)>|<script>alert(1)</script>",
  "https://a.example/\"onmouseover=alert(1)",
  '[x](https://a.example "onmouseover=alert(1)")',
])("keeps %s text", async (body) => {
  await loadParser();
  const root = await draw(body);
  expect(root.querySelector("img, script, :not(button) > svg, [onerror], [onload], [onmouseover], a[href^='javascript'], a[href^='data']")).toBeNull();
});

it("adds rel attributes to links that hide the opener and the referrer", async () => {
  const link = (await draw("see https://a.example/x")).querySelector("a");
  expect(link?.getAttribute("href")).toBe("https://a.example/x");
  expect(link?.getAttribute("rel")).toBe("noopener noreferrer nofollow");
});

it("names the host of a link whose label looks like another address", async () => {
  await loadParser();
  const root = await draw("[https://bank.example](https://evil.example/x) and [the docs](https://docs.example)");
  expect([...root.querySelectorAll("a")].map((a) => a.getAttribute("data-host"))).toEqual(["evil.example", null]);
});

it("highlights mentions of the reader, and nothing that the message does not mention", async () => {
  await loadParser();
  const root = await draw("@ann and @bob, not @nobody nor `@bob`\n- @nobody\n> @nobody");
  expect([...root.querySelectorAll(".mention")].map((m) => [m.textContent, m.classList.contains("mention-me")])).toEqual([
    ["@ann", true],
    ["@bob", false],
  ]);
});

it("opens the mentioned user, but nobody for everyone", async () => {
  const root = document.createElement("div");
  const opened = vi.fn((_: Event, userID: string) => userID);
  await act(() => render(<MessageText body="@bob, @channel!" mentioned={MENTIONED} onMention={opened} />, root));
  expect(root.textContent).toBe("@bob, @channel!");
  const [bob, everyone] = root.querySelectorAll<HTMLElement>(".mention");
  bob?.click();
  bob?.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  everyone?.click();
  expect(opened.mock.results.map((r) => r.value)).toEqual(["2", "2"]);
  expect(everyone?.getAttribute("role")).toBeNull();
});

it("renders quotes, lists with their numbers, struck text and tables", async () => {
  await loadParser();
  const root = await draw("> quoted\n\n- one\n- two\n\n4. four\n\n~~no~~\n\na | b\n--|-:\n1 | 2");
  expect(root.querySelector("blockquote")?.textContent?.trim()).toBe("quoted");
  expect(root.querySelectorAll("ul > li")).toHaveLength(2);
  expect(root.querySelector("ol > li")?.getAttribute("value")).toBe("4");
  expect(root.querySelector("s")?.textContent).toBe("no");
  expect([...root.querySelectorAll("th, td")].map((c) => c.textContent)).toEqual(["a", "b", "1", "2"]);
  expect(root.querySelector("td.align-right")?.textContent).toBe("2");
});

it("lets the text of a list or quote decide its direction, except code and mentions", async () => {
  await loadParser();
  const root = await draw("> שלום\n\n- one\n- `two`\n\n@bob, `x`");
  const dirs = [...root.querySelectorAll("[dir]")].map((e) => `${e.tagName.toLowerCase()} ${e.getAttribute("dir")}`);
  expect(dirs).toEqual(["blockquote auto", "ul auto", "code ltr", "p auto", "span ltr", "code ltr"]);
});

it("shows the language of code, and copies only the code", async () => {
  await loadParser();
  const writeText = vi.spyOn(navigator.clipboard, "writeText").mockResolvedValue();
  const root = await draw("```go\nx := 1\n```");
  expect(root.querySelector(".code-language")?.textContent).toBe("go");
  root.querySelector<HTMLElement>(".code-head button")?.click();
  expect(writeText).toHaveBeenCalledWith("x := 1");
});

it("colors code without changing it", async () => {
  await loadParser();
  const root = await draw("```go\nfunc pour() string { return \"<b>\" }\n```");
  await vi.waitFor(() => expect(root.querySelector(".code-keyword")?.textContent).toBe("func"), { timeout: 100_000 });
  expect(root.querySelector("pre")?.textContent).toBe('func pour() string { return "<b>" }');
});

it("folds long bodies", async () => {
  const body = Array.from({ length: 1000 }, (_, i) => `line ${i}`).join("\n");
  const root = await draw(body);
  const button = root.querySelector<HTMLElement>("button");
  expect(button?.textContent).toBe("Show all 1,000 lines");
  expect(root.querySelector("p")?.textContent?.split("\n")).toHaveLength(25);
  await act(() => button?.click());
  expect(root.querySelector("p")?.textContent).toBe(body);
  await act(() => button?.click());
  expect(root.querySelector("p")?.textContent?.split("\n")).toHaveLength(25);
});
