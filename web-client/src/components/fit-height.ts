/** Makes a text area as high as what is in it; the style sheet says how high at most. */
export function fitHeight(field: HTMLTextAreaElement | null): void {
  if (field !== null) {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
  }
}
