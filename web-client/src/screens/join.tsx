/** The page that a channel link opens for users who are not members. */

import { ApiError, type ChannelDetails } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button, IconButton } from "../components/button";
import { ConnectionStatus } from "../components/connection-status";
import { t } from "../i18n";
import { addChannel } from "../state/channels";
import { sdk } from "../state/client";
import { navigate } from "../state/route";
import { errorText } from "../state/toasts";
import { testids } from "../testids";

export function JoinScreen({ channelID }: { readonly channelID: string }): JSX.Element {
  const [about, setAbout] = useState<ChannelDetails | undefined>(undefined);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    let here = true;
    void publicChannel(channelID).then((found) => {
      if (here) {
        setAbout(found);
      }
    });
    return () => {
      here = false;
    };
  }, [channelID]);
  const join = async (): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      addChannel(await sdk().rest.joinChannel(channelID));
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main id="main" class="main" tabIndex={-1} data-testid={testids.joinPage}>
      <header class="main-head">
        <span class="only-narrow">
          <IconButton icon="back" label={t().channel.back} onClick={() => navigate({ name: "home" })} testid={testids.back} />
        </span>
        <div class="main-head-title" />
        <ConnectionStatus />
      </header>
      <div class="empty">
        <h1>{about === undefined ? t().join.title : t().join.titleNamed(about.name)}</h1>
        {about !== undefined && (
          <p>
            {about.description === "" ? t().join.publicChannel : about.description} · {t().common.members(about.member_count)}
          </p>
        )}
        {about === undefined && <p>{t().join.unknown}</p>}
        <div class="empty-actions">
          <Button tone="primary" onClick={() => void join()} disabled={busy} testid={testids.joinButton}>
            {busy ? t().join.joining : t().join.join}
          </Button>
          <Button onClick={() => navigate({ name: "home" })}>{t().join.notNow}</Button>
        </div>
        <p class="form-error" role="alert" data-testid={testids.formError}>
          {problem}
        </p>
      </div>
    </main>
  );
}

/**
 * publicChannel returns a channel's details if it is public and on the first page of the list. The
 * details of other channels are visible only to members.
 */
async function publicChannel(channelID: string): Promise<ChannelDetails | undefined> {
  try {
    return (await sdk().rest.listChannels({ limit: 200 })).items.find((c) => c.id === channelID);
  } catch {
    return undefined;
  }
}

function problemOf(error: unknown): string {
  if (error instanceof ApiError && error.status === 404) {
    return t().join.notFound;
  }
  return errorText(error);
}
