/**
 * Shows the open dialog. Each dialog is a separate chunk that is loaded when the dialog is first
 * opened.
 */

import type { JSX } from "preact";

import { dialog, question } from "../state/dialog";
import { lazy } from "./lazy";

const CreateChannel = lazy(() => import("../dialogs/create-channel"));
const Browse = lazy(() => import("../dialogs/browse"));
const Join = lazy(() => import("../dialogs/join"));
const NewDirect = lazy(() => import("../dialogs/new-direct"));
const Contacts = lazy(() => import("../dialogs/contacts"));
const Groups = lazy(() => import("../dialogs/groups"));
const Switcher = lazy(() => import("../dialogs/switcher"));
const Shortcuts = lazy(() => import("../dialogs/shortcuts"));
const Settings = lazy(() => import("../dialogs/settings"));
const ChannelDialog = lazy(() => import("../dialogs/channel"));
const MoveChannel = lazy(() => import("../dialogs/move-channel"));
const SectionDialog = lazy(() => import("../dialogs/section"));
const AddMember = lazy(() => import("../dialogs/add-member"));
const RemoveMember = lazy(() => import("../dialogs/remove-member"));
const PersonDialog = lazy(() => import("../dialogs/person"));
const DeleteMessage = lazy(() => import("../dialogs/delete-message"));
const QuestionDialog = lazy(() => import("../dialogs/question"));

export function DialogHost(): JSX.Element {
  const about = question.value;
  return (
    <>
      <OpenDialog />
      {about !== undefined && <QuestionDialog about={about} />}
    </>
  );
}

function OpenDialog(): JSX.Element | null {
  const request = dialog.value;
  switch (request?.name) {
    case undefined:
      return null;
    case "create-channel":
      return <CreateChannel groupID={request.groupID} channelName={request.channelName} />;
    case "browse":
      return <Browse />;
    case "join":
      return <Join />;
    case "new-direct":
      return <NewDirect />;
    case "contacts":
      return <Contacts />;
    case "groups":
      return <Groups groupID={request.groupID} />;
    case "switcher":
      return <Switcher />;
    case "shortcuts":
      return <Shortcuts />;
    case "settings":
      return <Settings tab={request.tab ?? "profile"} />;
    case "channel":
      return <ChannelDialog channelID={request.channelID} />;
    case "move-channel":
      return <MoveChannel channelID={request.channelID} />;
    case "section":
      return <SectionDialog sectionID={request.sectionID} channelID={request.channelID} />;
    case "add-member":
      return <AddMember channelID={request.channelID} />;
    case "remove-member":
      return <RemoveMember channelID={request.channelID} userID={request.userID} username={request.username} />;
    case "person":
      return <PersonDialog userID={request.userID} />;
    case "delete-message":
      return <DeleteMessage message={request.message} />;
  }
}
