/** Creates one of the user's own sections of the channel list, or changes, moves or deletes it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Button } from "../components/button";
import { Dialog } from "../components/dialog";
import { Actions, Field, FormError } from "../components/form";
import { t } from "../i18n";
import { moveToSection } from "../state/channel-preferences";
import { closeDialog } from "../state/dialog";
import { toast } from "../state/toasts";
import { createSection, deleteSection, MAX_SECTION_NAME, MAX_SECTIONS, moveSection, renameSection, type UserSection, userSections } from "../state/user-sections";
import { testids } from "../testids";

interface SectionDialogProps {
  /** The section to change; undefined to create one. */
  readonly sectionID: string | undefined;
  /** The channel to move into a new section. */
  readonly channelID: string | undefined;
}

export default function SectionDialog({ sectionID, channelID }: SectionDialogProps): JSX.Element {
  const section = userSections.value.find((s) => s.id === sectionID);
  return (
    <Dialog title={section === undefined ? t().sections.new : t().sections.edit(section.name)} size="small">
      {section === undefined ? <NewSection channelID={channelID} /> : <ChangeSection key={section.id} section={section} />}
    </Dialog>
  );
}

function NewSection({ channelID }: { readonly channelID: string | undefined }): JSX.Element {
  const [name, setName] = useState("");
  const full = userSections.value.length >= MAX_SECTIONS;
  const create = (event: Event): void => {
    event.preventDefault();
    const made = createSection(name);
    if (made !== undefined) {
      if (channelID !== undefined) {
        moveToSection(channelID, made.id);
      }
      closeDialog();
    }
  };
  return (
    <form class="form" onSubmit={create}>
      <p class="hint">{t().sections.about}</p>
      <Field label={t().common.name} value={name} onInput={setName} required maxLength={MAX_SECTION_NAME} autofocus testid={testids.sectionName} />
      <FormError message={full ? t().sections.full(MAX_SECTIONS) : ""} />
      <Actions>
        <Button onClick={closeDialog}>{t().common.cancel}</Button>
        <Button tone="primary" submit disabled={full || name.trim() === ""} testid={testids.submit}>
          {t().sections.create}
        </Button>
      </Actions>
    </form>
  );
}

function ChangeSection({ section }: { readonly section: UserSection }): JSX.Element {
  const [name, setName] = useState(section.name);
  const rename = (event: Event): void => {
    event.preventDefault();
    if (renameSection(section.id, name)) {
      closeDialog();
    }
  };
  const remove = (): void => {
    const restore = deleteSection(section.id);
    closeDialog();
    toast(t().sections.deleted(section.name), "info", { label: t().common.undo, run: restore });
  };
  return (
    <>
      <form class="form" onSubmit={rename}>
        <Field label={t().common.name} value={name} onInput={setName} required maxLength={MAX_SECTION_NAME} autofocus testid={testids.sectionName} />
        <Actions>
          <Button tone="quiet" onClick={remove} testid={testids.deleteSection}>
            {t().sections.delete}
          </Button>
          <Button tone="primary" submit disabled={name.trim() === ""} testid={testids.submit}>
            {t().common.save}
          </Button>
        </Actions>
      </form>
      <Position section={section} />
    </>
  );
}

/**
 * Position shows the section's place among the user's own sections, with buttons that move it. The
 * buttons are never disabled, because a disabled button would lose the focus. A button that cannot
 * move the section any further has no effect.
 */
function Position({ section }: { readonly section: UserSection }): JSX.Element {
  const all = userSections.value;
  return (
    <div class="line">
      <span role="status">{t().sections.position(all.findIndex((s) => s.id === section.id) + 1, all.length)}</span>
      <span class="result-actions">
        <Button onClick={() => moveSection(section.id, -1)} testid={testids.sectionUp}>
          {t().sections.up}
        </Button>
        <Button onClick={() => moveSection(section.id, 1)} testid={testids.sectionDown}>
          {t().sections.down}
        </Button>
      </span>
    </div>
  );
}
