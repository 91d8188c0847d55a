/** Lets users join channels through a link. */

import { ApiError, type ChannelPreview } from "@parley/client";
import { signal } from "@preact/signals";

import { addChannel } from "./channels";
import { sdk } from "./client";

/** Door describes whether a user may enter a channel that they are not a member of. */
export type Door =
  | { readonly name: "loading" }
  | { readonly name: "unreachable" }
  /** The channel is private or does not exist. The server does not reveal which is the case. */
  | { readonly name: "hidden" }
  | { readonly name: "banned" | "open"; readonly preview: ChannelPreview };

export async function doorOf(channelID: string): Promise<Door> {
  try {
    const preview = await sdk().rest.getChannelPreview(channelID);
    return { name: preview.banned ? "banned" : "open", preview };
  } catch (error) {
    return { name: error instanceof ApiError && error.status === 404 ? "hidden" : "unreachable" };
  }
}

export async function join(channelID: string): Promise<void> {
  addChannel(await sdk().rest.joinChannel(channelID));
}

/** The channel that a new user is joining because they signed up through its link. */
export const arriving = signal<string | undefined>(undefined);

/** arrive adds a new user to the channel whose link they followed, if the channel is open. */
export async function arrive(channelID: string): Promise<void> {
  arriving.value = channelID;
  try {
    await join(channelID);
  } catch {
    // The join screen shows the reason or lets the user try again.
  } finally {
    arriving.value = undefined;
  }
}
