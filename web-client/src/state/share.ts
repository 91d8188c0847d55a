/** Links to channels and messages, to hand to others. */

import { linkTo } from "./route";
import { toast } from "./toasts";

export async function copyLink(channelID: string, seq?: number): Promise<void> {
  const link = linkTo(channelID, seq);
  try {
    await navigator.clipboard.writeText(link);
    toast("The link is copied.");
  } catch {
    // Browsers refuse on plain http and without permission: then it is shown, to be copied by hand.
    toast(link);
  }
}
