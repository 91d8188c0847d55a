/** The user who is signed in. */

import type { Me } from "@parley/client";
import { signal } from "@preact/signals";

export type Session =
  /** Waiting for the server's response. */
  | { readonly name: "unknown" }
  | { readonly name: "signed-out"; readonly notice?: string }
  | { readonly name: "unreachable" }
  | { readonly name: "signed-in"; readonly me: Me };

export const session = signal<Session>({ name: "unknown" });

export const me = (): Me | undefined => (session.value.name === "signed-in" ? session.value.me : undefined);
export const myID = (): string => me()?.id ?? "";
