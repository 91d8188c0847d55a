/** A user's profile and contact status, and the actions that are available to this user. */

import { allPages, type Contact, type User } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { t } from "../i18n";
import { dateLabel } from "../lib/dates";
import { block as blockUser, unblock } from "../state/blocks";
import { directChannels } from "../state/channels";
import { sdk } from "../state/client";
import { openDirect } from "../state/direct";
import { ask, openDialog } from "../state/dialog";
import { learnUser, nameOf, person } from "../state/people";
import { myID } from "../state/me";
import { attempt, showError } from "../state/toasts";
import { testids } from "../testids";
import { Avatar } from "./avatar";
import { Button } from "./button";
import { ChannelPreferencesForm } from "./channel-preferences";
import { Actions } from "./form";

export function Profile({ userID }: { readonly userID: string }): JSX.Element {
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
  const direct = directChannels.value.find((c) => c.details.value?.peer?.user_id === userID);
  const block = (): void =>
    ask({
      title: t().person.blockTitle(name),
      text: t().person.blockText(name, state === "accepted"),
      action: t().person.block,
      work: () => blockUser(userID).then(readContact),
    });
  const removeContact = (): void =>
    ask({
      title: t().person.removeTitle(name),
      text: t().person.removeText(name),
      action: t().person.removeContact,
      work: () => sdk().rest.removeContact(userID).then(readContact),
    });
  return (
    <>
      <div class="profile">
        <Avatar userID={userID} size="large" />
        <div>
          <p class="member-username">{user === undefined || user.deleted ? "" : `@${user.username}`}</p>
          {user !== undefined && user.bio !== "" && (
            <p class="bio" dir="auto">
              {user.bio}
            </p>
          )}
          {user !== undefined && <p class="hint">{t().person.joined(dateLabel(Date.parse(user.created_at)))}</p>}
        </div>
      </div>
      {userID === myID() ? (
        <Actions>
          <Button onClick={() => openDialog({ name: "settings" })}>{t().person.editProfile}</Button>
        </Actions>
      ) : (
        user?.deleted === false && (
          <>
            <p class="hint">{state === undefined ? "" : t().person.status[state]}</p>
            {/* The button that confirms a block is at the end of its dialog. There, a double click would
                undo the block. */}
            <Actions at={state === "blocked" ? "start" : "end"}>
              {state === "blocked" ? (
                <Button testid={testids.unblock} onClick={() => void change(() => unblock(userID))}>{t().person.unblock}</Button>
              ) : (
                <>
                  <Button tone="quiet" onClick={block} testid={testids.block}>
                    {t().person.block}
                  </Button>
                  {state === "accepted" || state === "requested" ? (
                    <Button onClick={() => (state === "accepted" ? removeContact() : void change(() => sdk().rest.removeContact(userID)))}>{state === "accepted" ? t().person.removeContact : t().person.cancelRequest}</Button>
                  ) : (
                    <Button onClick={() => void change(() => sdk().rest.requestContact({ user_id: userID }))}>{state === "received" ? t().person.acceptRequest : t().person.addContact}</Button>
                  )}
                  <Button tone="primary" onClick={() => void openDirect(userID)}>
                    {t().common.message}
                  </Button>
                </>
              )}
            </Actions>
          </>
        )
      )}
      {direct !== undefined && <ChannelPreferencesForm channelID={direct.id} />}
    </>
  );
}
