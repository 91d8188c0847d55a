/** A user's profile, next to their name or picture. */

import type { JSX } from "preact";

import { DialogPopover } from "../components/popover";
import { Profile } from "../components/profile";
import { nameOf, person } from "../state/people";
import type { OpenPopover } from "../state/popover";

export default function PersonPopover({ open, userID }: { readonly open: OpenPopover; readonly userID: string }): JSX.Element {
  return (
    <DialogPopover open={open} title={nameOf(person(userID).value)}>
      <Profile userID={userID} />
    </DialogPopover>
  );
}
