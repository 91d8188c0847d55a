/** The page for a channel that the user is not a member of. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button, IconButton } from "../components/button";
import { ConnectionStatus } from "../components/connection-status";
import { t } from "../i18n";
import { connection } from "../state/connection";
import { type Departure, departures } from "../state/departures";
import { accept, decline, invitations } from "../state/invitations";
import { type Door, doorOf, join } from "../state/join";
import { navigate } from "../state/route";
import { errorText } from "../state/toasts";
import { testids } from "../testids";

export function JoinScreen({ channelID }: { readonly channelID: string }): JSX.Element {
  const [door, look] = useDoor(channelID);
  return (
    <main id="main" class="main" tabIndex={-1} data-testid={testids.joinPage} data-door={door.name}>
      <header class="main-head">
        <span class="only-narrow">
          <IconButton icon="back" label={t().channel.back} onClick={() => navigate({ name: "home" })} testid={testids.back} />
        </span>
        <div class="main-head-title" />
        <ConnectionStatus />
      </header>
      <div class="empty">
        <Entrance channelID={channelID} door={door} look={look} />
      </div>
    </main>
  );
}

/**
 * useDoor asks the server whether the user may enter. If the server was unreachable, useDoor asks
 * again after a reconnection.
 */
function useDoor(channelID: string): readonly [Door, () => void] {
  const [door, setDoor] = useState<Door>({ name: "loading" });
  const look = (): (() => void) => {
    let current = true;
    void doorOf(channelID).then((found) => {
      if (current) {
        setDoor(found);
      }
    });
    return () => {
      current = false;
    };
  };
  const live = connection.value.name === "up-to-date";
  useEffect(look, [channelID]);
  useEffect(() => (live && door.name === "unreachable" ? look() : undefined), [live, door.name]);
  return [door, look];
}

interface EntranceProps {
  readonly channelID: string;
  readonly door: Door;
  /** Asks the server again. */
  readonly look: () => void;
}

function Entrance({ channelID, door, look }: EntranceProps): JSX.Element {
  const texts = t().join;
  const departure = departures.value.get(channelID);
  switch (door.name) {
    case "loading":
      return <h1>{t().common.loading}</h1>;
    case "unreachable":
      return (
        <>
          <h1>{t().app.unreachable}</h1>
          <p>{t().app.checkConnection}</p>
          <div class="empty-actions">
            <Button tone="primary" onClick={look}>
              {t().common.tryAgain}
            </Button>
          </div>
        </>
      );
    case "hidden":
      return <Hidden channelID={channelID} departure={departure} />;
    case "banned":
      return <Closed title={texts.bannedTitle(door.preview.name)} text={texts.bannedText} />;
    case "open":
      return (
        <>
          <h1>{openTitle(door.preview.name, departure)}</h1>
          <p dir="auto" data-testid={testids.channelTopic}>
            {door.preview.description === "" ? texts.kinds[door.preview.kind] : door.preview.description}
          </p>
          <p class="hint">{t().common.members(door.preview.member_count)}</p>
          <JoinForm channelID={channelID} again={departure !== undefined} onRefused={look} />
        </>
      );
  }
}

function openTitle(name: string, departure: Departure | undefined): string {
  const texts = t().join;
  switch (departure?.how) {
    case undefined:
      return texts.title(name);
    case "left":
      return texts.left(name);
    case "removed":
      return texts.removed(name);
  }
}

/** Hidden is shown for private channels and for channels that do not exist. */
function Hidden({ channelID, departure }: { readonly channelID: string; readonly departure: Departure | undefined }): JSX.Element {
  const texts = t().join;
  const invitation = invitations.value.find((i) => i.channel_id === channelID);
  if (invitation !== undefined) {
    return (
      <>
        <h1>{texts.invitedTitle(invitation.name)}</h1>
        <p>{t().sidebar.invitedBy(invitation.invited_by_name)}</p>
        <div class="empty-actions">
          <Button tone="primary" onClick={() => void accept(invitation)} testid={testids.joinButton}>
            {t().common.accept}
          </Button>
          <Button onClick={() => void decline(invitation)}>{t().common.decline}</Button>
        </div>
      </>
    );
  }
  return departure === undefined ? (
    <Closed title={texts.hiddenTitle} text={texts.hiddenText} />
  ) : (
    <Closed title={departure.how === "left" ? texts.left(departure.name) : texts.removed(departure.name)} text={texts.goneText} />
  );
}

/** Closed is shown if the user has no way to enter the channel. */
function Closed({ title, text }: { readonly title: string; readonly text: string }): JSX.Element {
  return (
    <>
      <h1>{title}</h1>
      <p>{text}</p>
      <div class="empty-actions">
        <Button onClick={() => navigate({ name: "home" })}>{t().chat.goHome}</Button>
      </div>
    </>
  );
}

interface JoinFormProps {
  readonly channelID: string;
  /** Whether the user was a member before. */
  readonly again: boolean;
  readonly onRefused: () => void;
}

function JoinForm({ channelID, again, onRefused }: JoinFormProps): JSX.Element {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const enter = async (): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      await join(channelID);
    } catch (error) {
      setProblem(errorText(error));
      onRefused();
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <div class="empty-actions">
        <Button tone="primary" onClick={() => void enter()} disabled={busy} testid={testids.joinButton}>
          {busy ? t().join.joining : again ? t().join.joinAgain : t().join.join}
        </Button>
        <Button onClick={() => navigate({ name: "home" })}>{t().join.notNow}</Button>
      </div>
      <p class="form-error" role="alert" data-testid={testids.formError}>
        {problem}
      </p>
    </>
  );
}
