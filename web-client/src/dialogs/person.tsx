/** A user's profile and contact status. */

import { allPages, type Contact, type User } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Avatar } from "../components/avatar";
import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions } from "../components/form";
import { dateLabel } from "../lib/dates";
import { sdk } from "../state/client";
import { openDirect } from "../state/direct";
import { openDialog } from "../state/dialog";
import { learnUser, nameOf, person } from "../state/people";
import { myID } from "../state/me";
import { attempt, showError } from "../state/toasts";

export default function PersonDialog({ userID }: { readonly userID: string }): JSX.Element {
  const [user, setUser] = useState<User | undefined>(undefined);
  const [contact, setContact] = useState<Contact | undefined>(undefined);
  const readContact = async (): Promise<void> => {
    const all = await allPages((at) => sdk().rest.listContacts({ limit: 200, ...at }));
    setContact(all.find((c) => c.user_id === userID));
  };
  useEffect(() => {
    sdk()
      .rest.getUser(userID)
      .then((found) => {
        learnUser(found);
        setUser(found);
      }, showError);
    readContact().catch(() => undefined);
  }, [userID]);
  const change = async (work: () => Promise<unknown>): Promise<void> => {
    await attempt(async () => {
      await work();
      await readContact();
    });
  };
  const name = nameOf(person(userID).value);
  const state = contact?.state;
  return (
    <Dialog title={name} size="small">
      <div class="profile">
        <Avatar userID={userID} size="large" />
        <div>
          <p class="member-username">{user === undefined || user.deleted ? "" : `@${user.username}`}</p>
          {user !== undefined && user.bio !== "" && (
            <p class="bio" dir="auto">
              {user.bio}
            </p>
          )}
          {user !== undefined && <p class="hint">Joined on {dateLabel(Date.parse(user.created_at))}</p>}
        </div>
      </div>
      {userID === myID() ? (
        <Actions>
          <Button onClick={() => openDialog({ name: "settings" })}>Edit profile</Button>
        </Actions>
      ) : (
        user?.deleted === false && (
          <>
            <p class="hint">{contactStatus(state)}</p>
            <Actions>
              {state === "blocked" ? (
                <Button onClick={() => void change(() => sdk().rest.unblockUser(userID))}>Unblock</Button>
              ) : (
                <>
                  <Button tone="quiet" onClick={() => void change(() => sdk().rest.blockUser(userID))}>
                    Block
                  </Button>
                  {state === "accepted" || state === "requested" ? (
                    <Button onClick={() => void change(() => sdk().rest.removeContact(userID))}>{state === "accepted" ? "Remove contact" : "Cancel request"}</Button>
                  ) : (
                    <Button onClick={() => void change(() => sdk().rest.requestContact({ user_id: userID }))}>{state === "received" ? "Accept request" : "Add contact"}</Button>
                  )}
                  <Button tone="primary" onClick={() => void openDirect(userID)}>
                    Message
                  </Button>
                </>
              )}
            </Actions>
          </>
        )
      )}
    </Dialog>
  );
}

function contactStatus(state: Contact["state"] | undefined): string {
  switch (state) {
    case "accepted":
      return "In your contacts.";
    case "requested":
      return "Contact request sent.";
    case "received":
      return "Wants to add you as a contact.";
    case "blocked":
      return "You blocked this person. They can't message you.";
    case undefined:
      return "";
  }
}
