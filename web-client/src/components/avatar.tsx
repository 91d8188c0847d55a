/** A user's picture, or the user's initials on a colored background. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { colorOf, initialsOf } from "../lib/identity";
import { nameOf, person, requestProfile } from "../state/people";

interface AvatarProps {
  readonly userID: string;
  readonly name?: string;
  readonly size?: "small" | "normal" | "large";
  /** The user's online status; undefined if it is unknown or should not be shown. */
  readonly online?: boolean | undefined;
}

export function Avatar({ userID, name, size = "normal", online }: AvatarProps): JSX.Element {
  const known = person(userID).value;
  const [broken, setBroken] = useState("");
  useEffect(() => requestProfile(userID), [userID]);
  // The server keeps a copy of every picture. Loading a picture from any other server would reveal
  // to that server which user is being viewed.
  const picture = known.avatarURL.startsWith("/v1/avatars/") && known.avatarURL !== broken ? known.avatarURL : undefined;
  const { hue, shade } = colorOf(userID);
  return (
    <span
      class={`avatar avatar-${size}`}
      style={{ "--hue": `${hue * 15}deg`, "--shade": shade }}
      aria-hidden="true"
      // The style sheet draws the initials, so that they are neither read aloud nor copied.
      data-initials={picture === undefined ? initialsOf(nameOf(known, name)) : undefined}
    >
      {picture !== undefined && <img src={picture} alt="" loading="lazy" decoding="async" referrerpolicy="no-referrer" onError={() => setBroken(picture)} />}
      {online === true && <span class="online-dot" />}
    </span>
  );
}
