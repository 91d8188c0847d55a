/** Forms: labeled fields with their errors, and one submission at a time. */

import { ApiError, type ProblemCode } from "@parley/client";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";

import { fieldError } from "../i18n/field-errors";
import { errorText } from "../state/toasts";
import { testids } from "../testids";

/** Maps problem codes to the messages that the form shows. */
export type ProblemTexts = Readonly<Partial<Record<ProblemCode, string>>>;

export interface Submission {
  readonly busy: boolean;
  /** The error for the whole form; empty if there is none. */
  readonly message: string;
  /** The errors for individual fields, keyed by the server's field names. */
  readonly fields: ReadonlyMap<string, string>;
  readonly submit: (event: Event) => void;
}

/**
 * useSubmission calls `work` when the form is submitted, and keeps the errors that the server
 * returned. After an error, the focus moves to the first invalid field. `texts` maps error codes to
 * messages that replace the server's error messages.
 */
export function useSubmission(work: () => Promise<void>, texts: ProblemTexts = {}): Submission {
  const [busy, setBusy] = useState(false);
  const [message, setMessage] = useState("");
  const [fields, setFields] = useState<ReadonlyMap<string, string>>(new Map());
  const [failures, setFailures] = useState(0);
  const form = useRef<HTMLElement | null>(null);
  useLayoutEffect(() => {
    if (failures > 0 && form.current !== null) {
      focusAfterError(form.current);
    }
  }, [failures]);
  const run = async (): Promise<void> => {
    setBusy(true);
    setMessage("");
    setFields(new Map());
    try {
      await work();
    } catch (error) {
      const wrong = error instanceof ApiError ? error.errors : [];
      const text = error instanceof ApiError ? texts[error.code] : undefined;
      setFields(new Map(wrong.map((f) => [f.field, text ?? fieldError(f)])));
      setMessage(text ?? errorText(error));
      setFailures((n) => n + 1);
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    form.current = event.currentTarget as HTMLElement;
    if (!busy) {
      void run();
    }
  };
  return { busy, message, fields, submit };
}

/**
 * focusAfterError moves the focus to the first invalid field. If no field is known to be invalid,
 * the focus stays where it is. If the focus was lost because the submit button was disabled, the
 * first field receives it.
 */
function focusAfterError(form: HTMLElement): void {
  const invalid = form.querySelector<HTMLElement>('[aria-invalid="true"]');
  if (invalid !== null) {
    invalid.focus();
  } else if (document.activeElement === null || document.activeElement === document.body) {
    form.querySelector<HTMLElement>("input, textarea")?.focus();
  }
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly type?: "text" | "email" | "password" | "url" | "search";
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
  readonly autocomplete?: string;
  readonly required?: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly rows?: number;
  readonly autofocus?: boolean;
  readonly testid?: string;
}

export function Field(props: FieldProps): JSX.Element {
  const id = useId();
  const about = `${id}-about`;
  // An error disappears when the user edits the field. A form clears its errors when it is
  // submitted, so an error that occurs again is shown again.
  const [edited, setEdited] = useState<string | undefined>(undefined);
  useEffect(() => setEdited(undefined), [props.error]);
  const error = props.error === edited ? undefined : props.error;
  const words = error ?? props.hint;
  const onInput = (value: string): void => {
    setEdited(props.error);
    props.onInput(value);
  };
  const common = {
    id,
    value: props.value,
    required: props.required,
    maxLength: props.maxLength,
    minLength: props.minLength,
    "aria-invalid": error !== undefined,
    "aria-describedby": words === undefined ? undefined : about,
    dir: "auto" as const,
    "data-testid": props.testid,
    "data-autofocus": props.autofocus === true ? "" : undefined,
  };
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.rows === undefined ? (
        // Preact has separate types for the kinds of input; all the kinds used here accept the same
        // attributes.
        <input {...common} type={(props.type ?? "text") as "text"} autocomplete={props.autocomplete ?? "off"} onInput={(e) => onInput(e.currentTarget.value)} />
      ) : (
        <textarea {...common} rows={props.rows} onInput={(e) => onInput(e.currentTarget.value)} />
      )}
      {words !== undefined && (
        <p id={about} class={error === undefined ? "hint" : "hint hint-error"}>
          {words}
        </p>
      )}
    </div>
  );
}

interface ChoiceProps<T extends string> {
  readonly legend: string;
  readonly value: T;
  readonly options: readonly { readonly value: T; readonly label: string; readonly hint?: string }[];
  readonly onChange: (value: T) => void;
  readonly testid?: string;
}

/** Choice is a group of radio buttons. */
export function Choice<T extends string>({ legend, value, options, onChange, testid }: ChoiceProps<T>): JSX.Element {
  const name = useId();
  return (
    <fieldset class="choice" data-testid={testid}>
      <legend>{legend}</legend>
      {options.map((option) => (
        <label key={option.value} class="choice-option">
          <input type="radio" name={name} value={option.value} checked={option.value === value} onChange={() => onChange(option.value)} />
          <span>
            {option.label}
            {option.hint !== undefined && <small>{option.hint}</small>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

export function FormError({ message }: { readonly message: string }): JSX.Element {
  return (
    <p class="form-error" role="alert" data-testid={testids.formError}>
      {message}
    </p>
  );
}

interface ActionsProps {
  readonly children: ComponentChildren;
  /** The side on which the buttons are. */
  readonly at?: "start" | "end";
}

export function Actions({ children, at = "end" }: ActionsProps): JSX.Element {
  return <div class={`actions actions-${at}`}>{children}</div>;
}
