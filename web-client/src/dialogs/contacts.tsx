/** Contacts, contact requests and blocked users. */

import { allPages, type Contact, type ContactState } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { PersonLine, UserSearch } from "../components/user-search";
import { t } from "../i18n";
import { unblock } from "../state/blocks";
import { sdk } from "../state/client";
import { ask } from "../state/dialog";
import { openDirect } from "../state/direct";
import { learnMember } from "../state/people";
import { myID } from "../state/me";
import { attempt, showError } from "../state/toasts";

const sections: readonly ContactState[] = ["received", "accepted", "requested", "blocked"];

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
    <Dialog title={t().contacts.title}>
      <UserSearch label={t().contacts.add}>
        {(user) =>
          known.has(user.id) || user.id === myID() ? (
            <span class="role">{user.id === myID() ? t().common.you : t().common.alreadyAdded}</span>
          ) : (
            <Button onClick={() => change(() => sdk().rest.requestContact({ user_id: user.id }))} label={t().common.addPerson(user.username)}>
              {t().common.add}
            </Button>
          )
        }
      </UserSearch>
      {contacts?.length === 0 && <p class="section-empty">{t().contacts.none}</p>}
      {sections.map((state) => {
        const those = contacts?.filter((c) => c.state === state) ?? [];
        return (
          those.length > 0 && (
            <section key={state}>
              <h3>{t().contacts.sections[state]}</h3>
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
  const remove = (): void =>
    ask({
      title: t().person.removeTitle(username),
      text: t().person.removeText(username),
      action: t().person.removeContact,
      work: async () => {
        await sdk().rest.removeContact(user_id);
        change(() => Promise.resolve());
      },
    });
  switch (state) {
    case "received":
      return (
        <>
          <Button tone="quiet" onClick={() => change(() => sdk().rest.removeContact(user_id))} label={t().common.declineRequest(username)}>
            {t().common.decline}
          </Button>
          <Button tone="primary" onClick={() => change(() => sdk().rest.requestContact({ user_id }))} label={t().common.acceptRequest(username)}>
            {t().common.accept}
          </Button>
        </>
      );
    case "accepted":
      return (
        <>
          <Button tone="quiet" onClick={remove} label={t().common.removePerson(username)}>
            {t().common.remove}
          </Button>
          <Button onClick={() => void openDirect(user_id)} label={t().common.messagePerson(username)}>
            {t().common.message}
          </Button>
        </>
      );
    case "requested":
      return (
        <Button onClick={() => change(() => sdk().rest.removeContact(user_id))} label={t().contacts.cancelRequestTo(username)}>
          {t().contacts.cancelRequest}
        </Button>
      );
    case "blocked":
      return (
        <Button onClick={() => change(() => unblock(user_id))} label={t().contacts.unblockPerson(username)}>
          {t().contacts.unblock}
        </Button>
      );
  }
}
