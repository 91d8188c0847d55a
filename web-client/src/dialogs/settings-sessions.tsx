/** The devices on which the user is signed in. */

import type { Session } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { t } from "../i18n";
import { agoLabel } from "../lib/dates";
import { deviceOf } from "../lib/device";
import { sdk } from "../state/client";
import { logOut } from "../state/session";
import { attempt, showError } from "../state/toasts";
import { testids } from "../testids";

export function SessionSettings(): JSX.Element {
  const [sessions, setSessions] = useState<readonly Session[] | undefined>(undefined);
  const read = async (): Promise<void> => setSessions((await sdk().rest.listSessions()).items);
  useEffect(() => {
    read().catch(showError);
  }, []);
  const revoke = (id: string): void => {
    void attempt(async () => {
      await sdk().rest.revokeSession(id);
      await read();
    });
  };
  const revokeOthers = (): void => {
    void attempt(async () => {
      await sdk().rest.revokeOtherSessions();
      await read();
    });
  };
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
              ) : (
                <Button onClick={() => revoke(s.id)} label={t().sessions.signOutOf(deviceOf(s.user_agent))} testid={testids.revokeSession}>
                  {t().common.signOut}
                </Button>
              )}
            </span>
          </li>
        ))}
      </ul>
      <div class="actions">
        {sessions !== undefined && sessions.length > 1 && (
          <Button onClick={revokeOthers} testid={testids.revokeOtherSessions}>
            {t().sessions.signOutOthers}
          </Button>
        )}
        <Button tone="primary" onClick={() => void attempt(logOut)} testid={testids.logOut}>
          {t().common.signOut}
        </Button>
      </div>
    </>
  );
}
