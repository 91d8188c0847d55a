/**
 * lazy wraps a component so that it is loaded when it is first shown. This keeps the dialogs out of
 * the initial page load.
 */

import { type ComponentType, h, type JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { t } from "../i18n";
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
          // The chunk cannot be loaded: the browser is offline, or the server has a newer build of
          // the page whose chunks have different names.
          closeDialog();
          toast(t().app.partNotLoaded, "error");
        },
      );
    }, []);
    return loaded === undefined ? null : h(loaded, props);
  };
}
