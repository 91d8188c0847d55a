import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/people.css";
import "./styles/dialogs.css";
import "./styles/sidebar.css";
import "./styles/members.css";
import "./styles/chat.css";
import "./styles/messages.css";
import "./styles/message-text.css";
import "./styles/message-parts.css";
import "./styles/composer.css";

import { render } from "preact";

import { App } from "./app";
import { chooseLanguage, t } from "./i18n";
import { loadChat } from "./screens/load-chat";
import { session } from "./state/me";
import { language } from "./state/preferences";
import { resumeSession } from "./state/session";
import { toast } from "./state/toasts";

async function start(root: HTMLElement): Promise<void> {
  const resumed = resumeSession();
  if (session.peek().name !== "signed-out") {
    loadChat(); // while the server checks the session
  }
  // If the catalog cannot be loaded, the page is shown in English.
  let chosen = language.peek();
  await chooseLanguage(chosen).catch(() => undefined);
  language.subscribe((choice) => {
    if (choice !== chosen) {
      chosen = choice;
      chooseLanguage(choice).catch(() => toast(t().app.partNotLoaded, "error"));
    }
  });
  render(<App />, root);
  await resumed;
}

const root = document.getElementById("app");
if (root !== null) {
  void start(root);
}
