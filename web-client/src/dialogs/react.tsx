/** Adds a reaction to a message: a common emoji, or any emoji that the user types. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Field } from "../components/form";
import { t } from "../i18n";
import type { LoggedMessage } from "../lib/log";
import { closeDialog } from "../state/dialog";
import { recentEmoji } from "../state/preferences";
import { channelOf, react } from "../state/react";
import { testids } from "../testids";

const common = ["👍", "👎", "❤️", "😂", "😮", "😢", "🙏", "🎉", "🔥", "👀", "✅", "❌", "💯", "🚀", "🤔", "👏", "🙌", "💡", "☕", "🍵", "😅", "😎", "🥳", "🤝"];

export default function React({ message }: { readonly message: LoggedMessage }): JSX.Element {
  const [typed, setTyped] = useState("");
  const put = (emoji: string): void => {
    const state = channelOf(message);
    if (state !== undefined) {
      react(state, message, emoji);
    }
    closeDialog();
  };
  const others = recentEmoji.value.filter((e) => !common.includes(e));
  return (
    <Dialog title={t().common.react} size="small">
      <div class="emoji-grid" role="group" aria-label={t().react.emoji}>
        {[...others, ...common].map((emoji, i) => (
          <button key={emoji} type="button" class="emoji" aria-label={t().message.reactWith(emoji)} data-autofocus={i === 0 ? "" : undefined} onClick={() => put(emoji)}>
            {emoji}
          </button>
        ))}
      </div>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          if (typed.trim() !== "") {
            put(typed.trim());
          }
        }}
      >
        <Field label={t().react.other} value={typed} onInput={setTyped} maxLength={16} testid={testids.emojiField} />
        <Actions>
          <Button tone="primary" submit disabled={typed.trim() === ""}>
            {t().common.react}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}
