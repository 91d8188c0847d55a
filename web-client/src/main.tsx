import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/people.css";
import "./styles/dialogs.css";
import "./styles/sidebar.css";
import "./styles/members.css";
import "./styles/chat.css";
import "./styles/messages.css";
import "./styles/message-parts.css";
import "./styles/composer.css";

import { render } from "preact";

import { App } from "./app";
import { resumeSession } from "./state/session";

const root = document.getElementById("app");
if (root !== null) {
  render(<App />, root);
  void resumeSession();
}
