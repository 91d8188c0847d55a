/** Writes to somebody. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { UserSearch } from "../components/user-search";
import { openDirect } from "../state/direct";
import { myID } from "../state/session";

export default function NewDirect(): JSX.Element {
  return (
    <Dialog title="Write to somebody" size="small">
      <UserSearch label="Whom?">
        {(user) =>
          user.id === myID() ? (
            <span class="role">you</span>
          ) : (
            <Button onClick={() => void openDirect(user.id)}>
              Write<span class="visually-hidden"> to {user.username}</span>
            </Button>
          )
        }
      </UserSearch>
    </Dialog>
  );
}
