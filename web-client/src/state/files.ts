/**
 * Handles files that a user drops or pastes. Messages contain only text, so the page reports that
 * it cannot send files.
 */

import { t } from "../i18n";
import { toast } from "./toasts";

/**
 * refuseFiles handles a drop or a paste of files. Otherwise, the browser would open the file in
 * place of the page.
 */
export function refuseFiles(event: DragEvent | ClipboardEvent): void {
  const transfer = "dataTransfer" in event ? event.dataTransfer : event.clipboardData;
  // When the user copies text, some programs also provide an image of the text.
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
