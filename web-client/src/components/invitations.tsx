/** Open invitations, at the top of the sidebar. */

import type { Invitation } from "@parley/client";
import type { JSX } from "preact";

import { t } from "../i18n";
import { accept, decline, invitations } from "../state/invitations";
import { testids } from "../testids";
import { Button } from "./button";

export function Invitations(): JSX.Element | null {
  if (invitations.value.length === 0) {
    return null;
  }
  return (
    <section class="sidebar-section" aria-label={t().sidebar.invitations}>
      <div class="section-head">
        <h2>{t().sidebar.invitations}</h2>
      </div>
      <ul class="invitations">
        {invitations.value.map((invitation) => (
          <Row key={invitation.id} invitation={invitation} />
        ))}
      </ul>
    </section>
  );
}

function Row({ invitation }: { readonly invitation: Invitation }): JSX.Element {
  const name = invitation.group_id === null ? `#${invitation.name}` : invitation.name;
  return (
    <li class="invitation" data-testid={testids.invitation}>
      <span class="member-names">
        <span class="member-name">{name}</span>
        <span class="member-username">
          {invitation.group_id === null ? t().common.channel : t().common.group} · {t().sidebar.invitedBy(invitation.invited_by_name)}
        </span>
      </span>
      <span class="result-actions">
        <Button onClick={() => void accept(invitation)} label={t().common.acceptInvitation(name)} testid={testids.acceptInvitation}>
          {t().common.accept}
        </Button>
        <Button onClick={() => void decline(invitation)} label={t().common.declineInvitation(name)} testid={testids.declineInvitation}>
          {t().common.decline}
        </Button>
      </span>
    </li>
  );
}
