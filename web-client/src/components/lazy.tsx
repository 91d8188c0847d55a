/** A component that is fetched when it is first shown: dialogs are not part of the first page. */

import { type ComponentType, h, type JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { closeDialog } from "../state/dialog";
import { toast } from "../state/toasts";

export function lazy<P extends object>(load: () => Promise<{ readonly default: ComponentType<P> }>): (props: P) => JSX.Element | null {
  let loaded: ComponentType<P> | undefined;
  return function Lazy(props: P): JSX.Element | null {
    const [, setReady] = useState(loaded !== undefined);
    useEffect(() => {
      if (loaded !== undefined) {
        return;
      }
      load().then(
        (module) => {
          loaded = module.default;
          setReady(true);
        },
        () => {
          // Offline, or the server has a newer page whose parts have other names.
          closeDialog();
          toast("This part of the page could not be loaded. Reload the page when you are online.", "error");
        },
      );
    }, []);
    return loaded === undefined ? null : h(loaded, props);
  };
}
