/** Copies links, code and messages to the clipboard. */

import { t } from "../i18n";
import { channels } from "./channels";
import { linkTo } from "./route";
import { toast } from "./toasts";

export async function copyLink(channelID: string, seq?: number): Promise<void> {
  const link = linkTo(channelID, seq);
  try {
    await navigator.clipboard.writeText(link);
    const kind = channels.peek().get(channelID)?.kind;
    toast(kind === "private" || kind === "direct" ? t().app.linkCopiedForMembers : t().app.linkCopied);
  } catch {
    // Browsers block the clipboard without HTTPS or permission. Show the link, so that the user
    // can copy it.
    toast(link);
  }
}

export const copyCode = (code: string): Promise<void> => copy(code, () => t().app.codeCopied);

/** copyText copies a message as it was typed, including its formatting marks. */
export const copyText = (body: string): Promise<void> => copy(body, () => t().app.textCopied);

async function copy(text: string, done: () => string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(done());
  } catch {
    toast(t().app.copyFailed, "error");
  }
}
