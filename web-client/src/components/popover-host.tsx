/**
 * Shows the open popover. Each kind is a separate chunk that is loaded when it is first opened. The
 * host is within the main content, because screen readers expect all content in landmarks.
 */

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { closePopover, popover } from "../state/popover";
import { lazy } from "./lazy";

const React = lazy(() => import("../popovers/react"));
const Receipts = lazy(() => import("../popovers/receipts"));
const MessageMenu = lazy(() => import("../popovers/message-menu"));
const Person = lazy(() => import("../popovers/person"));

export function PopoverHost(): JSX.Element | null {
  // Its control disappears together with the host.
  useEffect(() => () => void closePopover(), []);
  const open = popover.value;
  switch (open?.request.name) {
    case undefined:
      return null;
    case "react":
      return <React key={open.key} open={open} message={open.request.message} />;
    case "receipts":
      return <Receipts key={open.key} open={open} message={open.request.message} />;
    case "message-menu":
      return <MessageMenu key={open.key} open={open} message={open.request.message} />;
    case "person":
      return <Person key={open.key} open={open} userID={open.request.userID} />;
  }
}
