/**
 * A user's profile in a dialog, used where there is no control next to which a popover could open.
 */

import type { JSX } from "preact";

import { Dialog } from "../components/dialog";
import { Profile } from "../components/profile";
import { nameOf, person } from "../state/people";

export default function PersonDialog({ userID }: { readonly userID: string }): JSX.Element {
  return (
    <Dialog title={nameOf(person(userID).value)} size="small">
      <Profile userID={userID} />
    </Dialog>
  );
}
