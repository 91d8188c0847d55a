/** The page's addresses: `/`, `/c/<channel>`, and `/c/<channel>?m=<seq>` for links to a message. */

export type Route =
  | { readonly name: "home" }
  | { readonly name: "channel"; readonly channelID: string; readonly seq?: number }
  | { readonly name: "unknown"; readonly path: string };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function parseRoute(address: string): Route {
  const url = new URL(address, "http://page.invalid");
  if (url.pathname === "/" || url.pathname === "/index.html") {
    return { name: "home" };
  }
  const channelID = /^\/c\/([^/]+)\/?$/.exec(url.pathname)?.[1]?.toLowerCase() ?? "";
  if (!UUID.test(channelID)) {
    return { name: "unknown", path: url.pathname };
  }
  const seq = Number(url.searchParams.get("m") ?? "");
  return Number.isSafeInteger(seq) && seq > 0 ? { name: "channel", channelID, seq } : { name: "channel", channelID };
}

export function pathOf(route: Route): string {
  switch (route.name) {
    case "home":
      return "/";
    case "channel":
      return `/c/${route.channelID}${route.seq === undefined ? "" : `?m=${route.seq}`}`;
    case "unknown":
      return route.path;
  }
}

/** channelIn extracts the channel id from a pasted link, path or id. */
export function channelIn(input: string): string | undefined {
  const text = input.trim();
  const bare = text.toLowerCase();
  if (UUID.test(bare)) {
    return bare;
  }
  if (!URL.canParse(text, "http://page.invalid")) {
    return undefined;
  }
  const route = parseRoute(text);
  return route.name === "channel" ? route.channelID : undefined;
}
