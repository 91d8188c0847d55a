/** The devices on which the user is signed in. */

import type { Session } from "@parley/client";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Button } from "../components/button";
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
      <p class="hint">Devices where you are signed in. Sign out any you don't recognize; they are disconnected within a second.</p>
      <ul class="results">
        {sessions?.map((s) => (
          <li key={s.id} class="result" data-testid={testids.sessionRow} data-current={s.current ? "" : undefined}>
            <span class="member-names">
              <span class="member-name">{deviceOf(s.user_agent)}</span>
              <span class="member-username">
                {s.address} · active {agoLabel(Date.parse(s.last_used_at), Date.now())}
              </span>
            </span>
            <span class="result-actions">
              {s.current ? (
                <span class="role">This device</span>
              ) : (
                <Button onClick={() => revoke(s.id)} testid={testids.revokeSession}>
                  Sign out<span class="visually-hidden"> {deviceOf(s.user_agent)}</span>
                </Button>
              )}
            </span>
          </li>
        ))}
      </ul>
      <div class="actions">
        {sessions !== undefined && sessions.length > 1 && (
          <Button onClick={revokeOthers} testid={testids.revokeOtherSessions}>
            Sign out all other devices
          </Button>
        )}
        <Button tone="primary" onClick={() => void attempt(logOut)} testid={testids.logOut}>
          Sign out
        </Button>
      </div>
    </>
  );
}
