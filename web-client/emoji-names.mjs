// Writes the emoji and their names in a language, for the search in the page:
//
//   npm install --no-save emojibase-data@17.0.0 && node emoji-names.mjs en de
//
// The result is committed, because the package has 49 MB and changes about once a year.
import { readFileSync, writeFileSync } from "node:fs";

/** Newer emoji are missing in the fonts of systems that the page supports. */
const NEWEST = 15;
const COMPONENTS = 2; // the group of skin tones and hair, which are not emoji of their own

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
const bare = (emoji) => emoji.replace(/[\ufe0e\ufe0f]/g, "");
/** The forms that the server stores, by the emoji without variation selectors. */
const qualified = new Map(read("../shared-contracts/text/emoji.txt").split("\n").map((line) => [bare(line), line]));

for (const language of process.argv.slice(2)) {
  const data = JSON.parse(read(`node_modules/emojibase-data/${language}/data.json`));
  // The short codes of GitHub are English words that developers know.
  const codes = language === "en" ? JSON.parse(read("node_modules/emojibase-data/en/shortcodes/github.json")) : {};
  const lines = data
    .filter(({ group, version }) => group !== undefined && group !== COMPONENTS && version <= NEWEST)
    .sort((a, b) => a.order - b.order)
    .map(({ emoji, label, hexcode, tags = [] }) => {
      const known = new Set(wordsOf(label));
      const more = new Set([...tags, ...[codes[hexcode] ?? []].flat()].flatMap(wordsOf).filter((word) => !known.has(word)));
      return [qualified.get(bare(emoji)), label, [...more].join(" ")].join("\t");
    });
  writeFileSync(
    new URL(`src/i18n/emoji-${language}.txt`, import.meta.url),
    [
      "# Emoji up to Unicode Emoji 15, each with its name and further words to search for, separated by tabs.",
      "# Written by emoji-names.mjs from the npm package emojibase-data 17.0.0 (MIT), which contains the names",
      "# of the Unicode CLDR. © Unicode, Inc., under the Unicode License v3 (unicode.org/license.txt).",
      ...lines,
      "",
    ].join("\n"),
  );
}

function wordsOf(text) {
  return text.toLowerCase().split(/[\s_,.:()“”„"]+/u).filter((word) => word !== "");
}
