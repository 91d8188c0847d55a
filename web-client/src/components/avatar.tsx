/** Somebody's picture, or their initials on their colour. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { hueOf, initialsOf } from "../lib/identity";
import { nameOf, person, wantProfile } from "../state/people";

interface AvatarProps {
  readonly userID: string;
  readonly name?: string;
  readonly size?: "small" | "normal" | "large";
  /** Undefined: it is not known, or not worth a dot. */
  readonly online?: boolean | undefined;
}

export function Avatar({ userID, name, size = "normal", online }: AvatarProps): JSX.Element {
  const known = person(userID).value;
  const [broken, setBroken] = useState("");
  useEffect(() => wantProfile(userID), [userID]);
  // The server has a copy of every picture. Anything else would tell another server who is looked at.
  const picture = known.avatarURL.startsWith("/v1/avatars/") && known.avatarURL !== broken ? known.avatarURL : undefined;
  return (
    <span
      class={`avatar avatar-${size} hue-${hueOf(userID)}`}
      aria-hidden="true"
      // Drawn by the style sheet: initials are a picture, not words to be read out or copied.
      data-initials={picture === undefined ? initialsOf(nameOf(known, name)) : undefined}
    >
      {picture !== undefined && <img src={picture} alt="" loading="lazy" decoding="async" referrerpolicy="no-referrer" onError={() => setBroken(picture)} />}
      {online === true && <span class="online-dot" />}
    </span>
  );
}
