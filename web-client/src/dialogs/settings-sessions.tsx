/** Where one is logged in, and how to end it. */

import type { Session } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
import { agoLabel } from "../lib/dates";
import { deviceOf } from "../lib/device";
import { sdk } from "../state/client";
import { logOut } from "../state/session";
import { attempt, complain } from "../state/toasts";
import { testids } from "../testids";

export function SessionSettings(): JSX.Element {
  const [sessions, setSessions] = useState<readonly Session[] | undefined>(undefined);
  const read = async (): Promise<void> => setSessions((await sdk().rest.listSessions()).items);
  useEffect(() => {
    read().catch(complain);
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
      <p class="hint">Each is one log in. End those that you do not know; their connections are closed within a second.</p>
      <ul class="results">
        {sessions?.map((s) => (
          <li key={s.id} class="result" data-testid={testids.sessionRow} data-current={s.current ? "" : undefined}>
            <span class="member-names">
              <span class="member-name">{deviceOf(s.user_agent)}</span>
              <span class="member-username">
                {s.address} · used {agoLabel(Date.parse(s.last_used_at), Date.now())}
              </span>
            </span>
            <span class="result-actions">
              {s.current ? (
                <span class="role">this one</span>
              ) : (
                <Button onClick={() => revoke(s.id)} testid={testids.revokeSession}>
                  End<span class="visually-hidden"> the session of {deviceOf(s.user_agent)}</span>
                </Button>
              )}
            </span>
          </li>
        ))}
      </ul>
      <div class="actions">
        {sessions !== undefined && sessions.length > 1 && (
          <Button onClick={revokeOthers} testid={testids.revokeOtherSessions}>
            End all others
          </Button>
        )}
        <Button tone="primary" onClick={() => void attempt(logOut)} testid={testids.logOut}>
          Log out here
        </Button>
      </div>
    </>
  );
}
