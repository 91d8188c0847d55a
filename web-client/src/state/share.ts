/** Links to channels and messages, for sharing. */

import { linkTo } from "./route";
import { toast } from "./toasts";

export async function copyLink(channelID: string, seq?: number): Promise<void> {
  const link = linkTo(channelID, seq);
  try {
    await navigator.clipboard.writeText(link);
    toast("Link copied");
  } catch {
    // Browsers refuse without HTTPS or permission. Then the link is shown, to be copied by hand.
    toast(link);
  }
}
