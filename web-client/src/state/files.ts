/** Files that a user drops or pastes. Messages are text, so the page says that it can't send them. */

import { t } from "../i18n";
import { toast } from "./toasts";

/** refuseFiles handles a drop or a paste of files. Without it, the browser would replace the page. */
export function refuseFiles(event: DragEvent | ClipboardEvent): void {
  const transfer = "dataTransfer" in event ? event.dataTransfer : event.clipboardData;
  // If the user copies text, some programs also provide a picture of it.
  if (transfer === null || !transfer.types.includes("Files") || transfer.types.includes("text/plain")) {
    return;
  }
  event.preventDefault();
  if (event.type !== "dragover") {
    toast(t().composer.noFiles, "error");
  }
}

export function watchFiles(): () => void {
  const events = ["dragover", "drop", "paste"] as const;
  events.forEach((name) => addEventListener(name, refuseFiles));
  return () => events.forEach((name) => removeEventListener(name, refuseFiles));
}
