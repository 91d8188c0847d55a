// The script of the documentation. Every page is complete without it.
// @ts-check

const form = /** @type {HTMLFormElement} */ (document.querySelector(".search"));
const field = /** @type {HTMLInputElement} */ (document.getElementById("search"));
const list = /** @type {HTMLElement} */ (document.getElementById("search-results"));
const status = /** @type {HTMLElement} */ (document.getElementById("search-status"));
const contents = /** @type {HTMLElement} */ (document.getElementById("contents"));

/** The most results that are shown. */
const MAX_RESULTS = 40;

/**
 * An entry of the search index. `haystack` is its text in lower case.
 * @typedef {{kind: string, title: string, text?: string, path: string, haystack: string}} Entry
 */

/** @type {Promise<Entry[]> | undefined} */
let index;

/** loadIndex loads the index when the user turns to the search field, so that pages load faster. */
function loadIndex() {
  index ??= fetch(form.dataset.index ?? "")
    .then((response) => {
      if (!response.ok) throw new Error(`the search index: ${response.status}`);
      return response.json();
    })
    .then((/** @type {Entry[]} */ entries) => entries.map((e) => ({ ...e, haystack: `${e.title} ${e.text ?? ""}`.toLowerCase() })))
    .catch((error) => {
      index = undefined; // the next attempt loads it again
      throw error;
    });
  return index;
}

const kinds = ["operation", "section", "schema", "protocol", "error", "parameter", "field"];

/**
 * rank returns how well an entry matches, or -1 if it lacks one of the words. Lower is better.
 * @param {Entry} entry
 * @param {string[]} words
 */
function rank(entry, words) {
  if (!words.every((w) => entry.haystack.includes(w))) return -1;
  const title = entry.title.toLowerCase();
  const query = words.join(" ");
  const place = title === query ? 0 : title.startsWith(query) ? 1 : words.every((w) => title.includes(w)) ? 2 : 3;
  return place * kinds.length + kinds.indexOf(entry.kind);
}

/**
 * resultOf returns the element of a result.
 * @param {Entry} entry
 */
function resultOf(entry) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const kind = document.createElement("small");
  const text = document.createElement("small");
  link.href = entry.path;
  kind.className = "kind";
  kind.textContent = entry.kind;
  text.textContent = entry.text ?? "";
  link.append(kind, entry.title, text);
  item.append(link);
  return item;
}

async function search() {
  const query = field.value.trim().toLowerCase();
  if (query === "") {
    close();
    return;
  }
  const entries = await loadIndex();
  if (query !== field.value.trim().toLowerCase()) return; // the user has typed on
  const words = query.split(/\s+/);
  const found = entries
    .map((entry) => ({ entry, rank: rank(entry, words) }))
    .filter((r) => r.rank >= 0)
    .sort((a, b) => a.rank - b.rank);
  list.replaceChildren(...found.slice(0, MAX_RESULTS).map((r) => resultOf(r.entry)));
  list.hidden = found.length === 0;
  status.textContent = found.length === 1 ? "1 result" : `${found.length} results`;
}

function close() {
  list.hidden = true;
  list.replaceChildren();
  status.textContent = "";
}

/**
 * move moves the focus between the field and the results.
 * @param {number} step
 */
function move(step) {
  const stops = /** @type {HTMLElement[]} */ ([field, ...list.querySelectorAll("a")]);
  const at = stops.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  stops[(at + step + stops.length) % stops.length]?.focus();
}

function startSearch() {
  form.hidden = false;
  field.addEventListener("focus", () => void loadIndex().catch(() => undefined));
  field.addEventListener("input", () => void search().catch(() => (status.textContent = "The search index cannot be loaded.")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    /** @type {HTMLElement | null} */ (list.querySelector("a"))?.click();
  });
  form.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && !list.hidden) {
      event.preventDefault();
      move(step);
    } else if (event.key === "Escape") {
      field.focus();
      field.value = "";
      close();
    }
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus, so the list stays
  list.addEventListener("click", close);
  form.addEventListener("focusout", (event) => {
    if (!form.contains(/** @type {Node | null} */ (event.relatedTarget))) list.hidden = true;
  });
  form.addEventListener("focusin", () => (list.hidden = list.childElementCount === 0));
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
    }
  });
}

/** markCurrent marks the section that is being read in the contents. */
function markCurrent() {
  /** @type {Map<Element, HTMLElement>} */
  const links = new Map();
  for (const link of contents.querySelectorAll("a")) {
    const target = link.hash && document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (target) links.set(target, link);
  }
  const targets = [...links.keys()];
  /** @type {HTMLElement | undefined} */
  let marked;
  const mark = () => {
    // The last section that begins above this line is being read.
    const line = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) + 8;
    const next = targets.findIndex((t) => t.getBoundingClientRect().top > line);
    const link = links.get(/** @type {Element} */ (targets.at(next === -1 ? -1 : Math.max(next - 1, 0))));
    if (link === marked) return;
    marked?.removeAttribute("aria-current");
    link?.setAttribute("aria-current", "location");
    marked = link;
    // scrollIntoView would scroll the page as well.
    if (link && contents.clientHeight > 0) {
      const top = link.offsetTop - contents.clientHeight / 2;
      if (Math.abs(contents.scrollTop - top) > contents.clientHeight / 3) contents.scrollTop = top;
    }
  };
  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      mark();
    });
  };
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  mark();
}

/** addCopyButtons adds a button to each command. */
function addCopyButtons() {
  if (!navigator.clipboard) return; // the page was not loaded over https
  for (const block of document.querySelectorAll("pre.command")) {
    const text = block.textContent ?? "";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    block.append(button);
  }
}

startSearch();
markCurrent();
addCopyButtons();
contents.addEventListener("click", (event) => {
  // In a narrow window, the contents cover the page.
  if (event.target instanceof Element && event.target.closest("a") && contents.matches(":popover-open")) contents.hidePopover();
});
