/** Contacts, contact requests and blocked users. */

import { allPages, type Contact, type ContactState } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { PersonLine, UserSearch } from "../components/user-search";
import { sdk } from "../state/client";
import { openDirect } from "../state/direct";
import { learnMember } from "../state/people";
import { myID } from "../state/me";
import { attempt, showError } from "../state/toasts";

const sections: readonly { readonly state: ContactState; readonly title: string }[] = [
  { state: "received", title: "Requests" },
  { state: "accepted", title: "Contacts" },
  { state: "requested", title: "Sent" },
  { state: "blocked", title: "Blocked" },
];

export default function Contacts(): JSX.Element {
  const [contacts, setContacts] = useState<readonly Contact[] | undefined>(undefined);
  const read = async (): Promise<void> => {
    const all = await allPages((at) => sdk().rest.listContacts({ limit: 200, ...at }));
    all.forEach(learnMember);
    setContacts(all);
  };
  useEffect(() => {
    read().catch(showError);
  }, []);
  const change = (work: () => Promise<unknown>): void => {
    void attempt(async () => {
      await work();
      await read();
    });
  };
  const known = new Set(contacts?.map((c) => c.user_id));
  return (
    <Dialog title="Contacts">
      <UserSearch label="Add a contact">
        {(user) =>
          known.has(user.id) || user.id === myID() ? (
            <span class="role">{user.id === myID() ? "You" : "Already added"}</span>
          ) : (
            <Button onClick={() => change(() => sdk().rest.requestContact({ user_id: user.id }))}>
              Add<span class="visually-hidden"> {user.username}</span>
            </Button>
          )
        }
      </UserSearch>
      {contacts?.length === 0 && <p class="section-empty">No contacts yet. Search for people above to add them.</p>}
      {sections.map(({ state, title }) => {
        const those = contacts?.filter((c) => c.state === state) ?? [];
        return (
          those.length > 0 && (
            <section key={state}>
              <h3>{title}</h3>
              <ul class="results">
                {those.map((c) => (
                  <li key={c.user_id} class="result">
                    <PersonLine userID={c.user_id} username={c.username} />
                    <span class="result-actions">
                      <ContactActions contact={c} change={change} />
                    </span>
                  </li>
                ))}
              </ul>
            </section>
          )
        );
      })}
    </Dialog>
  );
}

interface ContactActionsProps {
  readonly contact: Contact;
  readonly change: (work: () => Promise<unknown>) => void;
}

function ContactActions({ contact: { user_id, username, state }, change }: ContactActionsProps): JSX.Element {
  const whom = <span class="visually-hidden"> {username}</span>;
  switch (state) {
    case "received":
      return (
        <>
          <Button tone="quiet" onClick={() => change(() => sdk().rest.removeContact(user_id))}>
            Decline{whom}
          </Button>
          <Button tone="primary" onClick={() => change(() => sdk().rest.requestContact({ user_id }))}>
            Accept{whom}
          </Button>
        </>
      );
    case "accepted":
      return (
        <>
          <Button tone="quiet" onClick={() => change(() => sdk().rest.removeContact(user_id))}>
            Remove{whom}
          </Button>
          <Button onClick={() => void openDirect(user_id)}>Message{whom}</Button>
        </>
      );
    case "requested":
      return <Button onClick={() => change(() => sdk().rest.removeContact(user_id))}>Cancel request{whom}</Button>;
    case "blocked":
      return <Button onClick={() => change(() => sdk().rest.unblockUser(user_id))}>Unblock{whom}</Button>;
  }
}
