/** Starts a direct conversation. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { UserSearch } from "../components/user-search";
import { openDirect } from "../state/direct";
import { myID } from "../state/me";

export default function NewDirect(): JSX.Element {
  return (
    <Dialog title="New message" size="small">
      <UserSearch label="To:">
        {(user) =>
          user.id === myID() ? (
            <span class="role">You</span>
          ) : (
            <Button onClick={() => void openDirect(user.id)}>
              Message<span class="visually-hidden"> {user.username}</span>
            </Button>
          )
        }
      </UserSearch>
    </Dialog>
  );
}
