/** fitHeight adjusts a text area's height to its content; the style sheet limits it. */
export function fitHeight(field: HTMLTextAreaElement | null): void {
  if (field !== null) {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
  }
}
