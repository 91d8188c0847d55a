/** The devices on which the user is signed in. */

import type { Session } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { Once } from "../components/once";
import { t } from "../i18n";
import { agoLabel } from "../lib/dates";
import { deviceOf } from "../lib/device";
import { sdk } from "../state/client";
import { logOut } from "../state/session";
import { attempt, showError, succeeds } from "../state/toasts";
import { testids } from "../testids";

export function SessionSettings(): JSX.Element {
  const [sessions, setSessions] = useState<readonly Session[] | undefined>(undefined);
  const [othersEnded, setOthersEnded] = useState(false);
  const endOthers = async (): Promise<boolean> => {
    const ended = await succeeds(() => sdk().rest.revokeOtherSessions());
    setOthersEnded(ended);
    return ended;
  };
  useEffect(() => {
    sdk().rest.listSessions().then(({ items }) => setSessions(items), showError);
  }, []);
  return (
    <>
      <p class="hint">{t().sessions.about}</p>
      <ul class="results">
        {sessions?.map((s) => (
          <li key={s.id} class="result" data-testid={testids.sessionRow} data-current={s.current ? "" : undefined}>
            <span class="member-names">
              <span class="member-name">{deviceOf(s.user_agent)}</span>
              <span class="member-username">
                {s.address} · {s.current ? t().sessions.activeNow : t().sessions.active(agoLabel(Date.parse(s.last_used_at), Date.now()))}
              </span>
            </span>
            <span class="result-actions">
              {s.current ? (
                <span class="role">{t().sessions.thisDevice}</span>
              ) : othersEnded ? (
                <span class="role">{t().sessions.signedOut}</span>
              ) : (
                <Once act={() => succeeds(() => sdk().rest.revokeSession(s.id))} done={t().sessions.signedOut} label={t().sessions.signOutOf(deviceOf(s.user_agent))} testid={testids.revokeSession}>
                  {t().common.signOut}
                </Once>
              )}
            </span>
          </li>
        ))}
      </ul>
      <div class="actions">
        {sessions !== undefined && sessions.length > 1 && (
          <Once act={endOthers} done={t().sessions.signedOutOthers} testid={testids.revokeOtherSessions}>
            {t().sessions.signOutOthers}
          </Once>
        )}
        <Button onClick={() => void attempt(logOut)} testid={testids.logOut}>
          {t().sessions.signOutHere}
        </Button>
      </div>
    </>
  );
}
