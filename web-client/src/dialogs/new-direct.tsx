/** Starts a direct conversation. */

import type { JSX } from "preact";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { UserSearch } from "../components/user-search";
import { t } from "../i18n";
import { openDirect } from "../state/direct";
import { myID } from "../state/me";

export default function NewDirect(): JSX.Element {
  return (
    <Dialog title={t().newDirect.title} size="small">
      <UserSearch label={t().newDirect.to}>
        {(user) =>
          user.id === myID() ? (
            <span class="role">{t().common.you}</span>
          ) : (
            <Button onClick={() => void openDirect(user.id)} label={t().common.messagePerson(user.username)}>
              {t().common.message}
            </Button>
          )
        }
      </UserSearch>
    </Dialog>
  );
}
