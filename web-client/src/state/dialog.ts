/**
 * The open dialog, and the question that asks for confirmation on top of it. At most one of each is
 * open.
 */

import { signal } from "@preact/signals";

import type { LoggedMessage } from "../lib/log";

export type DialogRequest =
  | { readonly name: "create-channel"; readonly groupID?: string; readonly channelName?: string }
  | { readonly name: "browse" | "join" | "new-direct" | "contacts" | "switcher" | "shortcuts" }
  | { readonly name: "groups"; readonly groupID?: string }
  | { readonly name: "settings"; readonly tab?: "profile" | "sessions" | "appearance" | "account" }
  | { readonly name: "channel"; readonly channelID: string }
  | { readonly name: "move-channel"; readonly channelID: string }
  /** Without sectionID, it creates a section, and moves the channel, if there is one, into it. */
  | { readonly name: "section"; readonly sectionID?: string; readonly channelID?: string }
  | { readonly name: "add-member"; readonly channelID: string }
  | { readonly name: "remove-member"; readonly channelID: string; readonly userID: string; readonly username: string }
  | { readonly name: "person"; readonly userID: string }
  | { readonly name: "react"; readonly message: LoggedMessage }
  | { readonly name: "receipts"; readonly message: LoggedMessage }
  | { readonly name: "delete-message"; readonly message: LoggedMessage };

/** Question asks the user to confirm an action that cannot simply be undone. */
export interface Question {
  readonly title: string;
  /** What will happen, and to whom. */
  readonly text: string;
  /** The label of the button that performs the action. */
  readonly action: string;
  /**
   * A name that the user must type to confirm an action that also affects other users and cannot be
   * undone.
   */
  readonly typed?: string;
  readonly work: () => Promise<unknown>;
  /** Another action that the user may want instead. */
  readonly alternative?: { readonly action: string; readonly choose: () => void };
}

export const dialog = signal<DialogRequest | undefined>(undefined);
export const question = signal<Question | undefined>(undefined);

export const openDialog = (request: DialogRequest): void => {
  dialog.value = request;
};

/**
 * ask shows a question, on top of the open dialog if there is one. The user then returns to that
 * dialog.
 */
export const ask = (about: Question): void => {
  question.value = about;
};

export const closeQuestion = (): void => {
  question.value = undefined;
};

/** closeDialog closes the dialog and any question on top of it. */
export const closeDialog = (): void => {
  question.value = undefined;
  dialog.value = undefined;
};

/** closeTopmost closes the question or the dialog. It returns false if neither is open. */
export function closeTopmost(): boolean {
  const open = question.peek() ?? dialog.peek();
  if (question.peek() !== undefined) {
    closeQuestion();
  } else {
    closeDialog();
  }
  return open !== undefined;
}
