/** The open dialog; there is at most one. */

import { signal } from "@preact/signals";

import type { LoggedMessage } from "../lib/log";

export type DialogRequest =
  | { readonly name: "create-channel"; readonly groupID?: string }
  | { readonly name: "browse" | "join" | "new-direct" | "contacts" | "groups" | "switcher" | "shortcuts" }
  | { readonly name: "settings"; readonly tab?: "profile" | "sessions" | "appearance" | "account" }
  | { readonly name: "channel"; readonly channelID: string }
  | { readonly name: "add-member"; readonly channelID: string }
  | { readonly name: "remove-member"; readonly channelID: string; readonly userID: string; readonly username: string }
  | { readonly name: "person"; readonly userID: string }
  | { readonly name: "react"; readonly message: LoggedMessage }
  | { readonly name: "receipts"; readonly message: LoggedMessage }
  | { readonly name: "delete-message"; readonly message: LoggedMessage };

export const dialog = signal<DialogRequest | undefined>(undefined);

export const openDialog = (request: DialogRequest): void => {
  dialog.value = request;
};
export const closeDialog = (): void => {
  dialog.value = undefined;
};
