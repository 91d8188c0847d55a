/** Adds people to a channel, or invites them if the user may not add them directly. */

import type { CandidateState, User } from "@parley/client";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { UserSearch } from "../components/user-search";
import { t } from "../i18n";
import type { ChannelState } from "../state/channel-state";
import { channels } from "../state/channels";
import { sdk } from "../state/client";
import { addPerson, liftBan } from "../state/outsiders";
import { nameOf, person } from "../state/people";
import { testids } from "../testids";

export default function AddMember({ channelID }: { readonly channelID: string }): JSX.Element {
  const state = channels.value.get(channelID);
  const [states, setStates] = useState<ReadonlyMap<string, CandidateState>>(new Map());
  const learn = (found: readonly { readonly user_id: string; readonly state: CandidateState }[]): void =>
    setStates((known) => new Map([...known, ...found.map((c) => [c.user_id, c.state] as const)]));
  const read = async (ids: readonly string[]): Promise<void> => {
    if (ids.length > 0) {
      learn((await sdk().rest.getCandidates(channelID, { ids })).items);
    }
  };
  return (
    <Dialog title={t().addMember.title(state?.title.value ?? "")} size="small">
      <UserSearch label={t().addMember.search} prepare={(users) => read(users.map((u) => u.id))}>
        {(user) => state !== undefined && <Choice state={state} user={user} is={states.get(user.id)} become={(is) => learn([{ user_id: user.id, state: is }])} read={() => read([user.id])} />}
      </UserSearch>
      {[...states.values()].includes("invitable") && <p class="hint">{t().addMember.strangers}</p>}
    </Dialog>
  );
}

interface ChoiceProps {
  readonly state: ChannelState;
  readonly user: User;
  readonly is: CandidateState | undefined;
  readonly become: (is: CandidateState) => void;
  /** Reads the user's state from the server. */
  readonly read: () => Promise<void>;
}

function Choice({ state, user, is, become, read }: ChoiceProps): JSX.Element {
  const name = nameOf(person(user.id).value, user.username);
  const add = async (): Promise<void> => {
    const now = await addPerson(state, user.id);
    if (now !== undefined) {
      become(now);
    }
  };
  const lift = async (): Promise<void> => {
    if (await liftBan(state, user.id, name)) {
      state.outsidersVersion.value++;
      await read();
    }
  };
  switch (is) {
    case "member":
      return <span class="role">{t().common.alreadyAdded}</span>;
    case "invited":
      return <span class="role">{t().addMember.invited}</span>;
    case "outside_group":
      return <span class="role">{t().addMember.outsideGroup}</span>;
    case "banned":
      return (
        <>
          <span class="role">{t().addMember.banned}</span>
          <Button onClick={() => void lift()} label={t().members.liftBanOf(name)} testid={testids.liftBan}>
            {t().members.liftBan}
          </Button>
        </>
      );
    case "invitable":
      return (
        <Button onClick={() => void add()} label={t().addMember.invitePerson(name)} testid={testids.addPerson}>
          {t().addMember.invite}
        </Button>
      );
    default:
      return (
        <Button onClick={() => void add()} label={t().common.addPerson(name)} testid={testids.addPerson}>
          {t().common.add}
        </Button>
      );
  }
}
