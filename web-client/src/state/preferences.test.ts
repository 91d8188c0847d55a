// @vitest-environment happy-dom
import type { Channel, Me } from "@parley/client";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { ChannelState } from "./channel-state";

const inStorage = (key: string): unknown => JSON.parse(localStorage.getItem(`parley.${key}`) ?? "null");
const put = (key: string, value: unknown): void => localStorage.setItem(`parley.${key}`, JSON.stringify(value));

/** load loads the modules again, as a visit to the page does. */
async function load() {
  vi.resetModules();
  const { session } = await import("./me");
  session.value = { name: "signed-in", me: { id: "ann" } as Me };
  return { ...(await import("./preferences")), ...(await import("./channel-preferences")) };
}

/** inAnotherTab changes a stored value as another tab does. */
function inAnotherTab(key: string, value: unknown): void {
  put(key, value);
  dispatchEvent(new StorageEvent("storage", { key: `parley.${key}` }));
}

const allow = (permission: NotificationPermission) => vi.stubGlobal("Notification", { permission });

beforeEach(() => {
  localStorage.clear();
  allow("default");
});

describe("preferences", () => {
  it("are stored only when the user changes them", async () => {
    const page = await load();
    expect(localStorage.length).toBe(0);
    page.notificationLevel.value = "all";
    page.theme.value = "dark";
    expect([inStorage("notifications"), inStorage("theme"), inStorage("language")]).toEqual(["all", "dark", null]);
    page.theme.value = "system";
    expect([inStorage("theme"), (await load()).notificationLevel.value]).toEqual(["system", "all"]);
  });

  it("that another tab changes apply here, and a change here keeps them", async () => {
    const page = await load();
    inAnotherTab("theme", "dark");
    inAnotherTab("channels", { "ann/tea": { level: "all" } });
    expect([page.theme.value, page.preferencesOf("tea").level]).toEqual(["dark", "all"]);
    page.prefer("work", { starred: true });
    expect(inStorage("channels")).toEqual({ "ann/tea": { level: "all" }, "ann/work": { starred: true } });
    localStorage.clear();
    dispatchEvent(new StorageEvent("storage", { key: null }));
    expect([page.theme.value, page.preferencesOf("work"), localStorage.length]).toEqual(["system", {}, 0]);
  });

  it("of a channel follow the default until the user chooses, even if they choose the same", async () => {
    const page = await load();
    const levels = () => ["tea", "work"].map((id) => page.levelOf(new ChannelState({ id } as Channel)));
    page.prefer("tea", { level: "all" });
    expect(levels()).toEqual(["all", "mentions"]);
    page.notificationLevel.value = "all";
    page.notificationLevel.value = "none";
    expect(levels()).toEqual(["all", "none"]);
    page.prefer("tea", { level: undefined });
    expect([levels(), inStorage("channels")]).toEqual([["none", "none"], {}]);
  });
});

describe("the notification level of an earlier release", () => {
  it.each([
    ["all", "granted", null, "all"],
    ["all", "default", null, "mentions"],
    ["all", "denied", null, "mentions"],
    ["none", "default", null, "none"],
    ["mentions", "granted", null, "mentions"],
    ["all", "granted", "none", "none"],
    ["loud", "granted", null, "mentions"],
  ] as const)("%s, with the permission %s and the newer level %s, becomes %s", async (earlier, permission, newer, level) => {
    put("notify", earlier);
    put("notifications", newer);
    allow(permission);
    expect((await load()).notificationLevel.value).toBe(level);
    allow("granted"); // the permission matters only once
    expect((await load()).notificationLevel.value).toBe(level);
  });
});
