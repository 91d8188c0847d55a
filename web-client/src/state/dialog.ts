/**
 * The open dialog, and the confirmation on top of a dialog or popover. At most one dialog and one
 * confirmation are open.
 */

import { computed, signal } from "@preact/signals";

import type { LoggedMessage } from "../lib/log";
import { closePopover } from "./popover";

export type DialogRequest =
  | { readonly name: "create-channel"; readonly groupID?: string; readonly channelName?: string }
  | { readonly name: "browse" | "join" | "new-direct" | "contacts" | "switcher" | "shortcuts" }
  | { readonly name: "groups"; readonly groupID?: string }
  | { readonly name: "settings"; readonly tab?: "profile" | "sessions" | "appearance" | "account" }
  | { readonly name: "channel"; readonly channelID: string }
  | { readonly name: "move-channel"; readonly channelID: string }
  /**
   * Without sectionID, the dialog creates a section. If channelID is given, the channel moves into
   * the new section.
   */
  | { readonly name: "section"; readonly sectionID?: string; readonly channelID?: string }
  | { readonly name: "add-member"; readonly channelID: string }
  | { readonly name: "remove-member"; readonly channelID: string; readonly userID: string; readonly username: string }
  | { readonly name: "person"; readonly userID: string }
  | { readonly name: "delete-message"; readonly message: LoggedMessage };

/** Question is a request to confirm an action that cannot easily be undone. */
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
/** Whether a dialog or a question covers the messages. */
export const covered = computed(() => dialog.value !== undefined || question.value !== undefined);

/** openDialog shows a dialog. It replaces any dialog or popover that is open. */
export const openDialog = (request: DialogRequest): void => {
  closePopover(); // moves the focus to the popover's control, so that the dialog returns it there
  dialog.value = request;
};

/**
 * ask shows a confirmation dialog, on top of the open dialog or popover if there is one. After
 * answering, the user returns to that dialog or popover.
 */
export const ask = (about: Question): void => {
  question.value = about;
};

export const closeQuestion = (): void => {
  question.value = undefined;
};

/** closeDialog closes the dialog or popover, and any confirmation on top of it. */
export const closeDialog = (): void => {
  question.value = undefined;
  dialog.value = undefined;
  closePopover();
};

/**
 * closeTopmost closes the confirmation, the popover or the dialog. It returns false if none is
 * open.
 */
export function closeTopmost(): boolean {
  if (question.peek() !== undefined) {
    closeQuestion();
    return true;
  }
  const open = dialog.peek() !== undefined;
  dialog.value = undefined;
  return closePopover() || open;
}
