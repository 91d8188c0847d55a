import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { FieldCode } from "@parley/client";
import { describe, expect, it } from "vitest";

import { counterFor } from "./counter";
import de from "./de";
import { en } from "./en";
import { fieldError } from "./field-errors";
import { chooseLanguage, languageFor } from "./index";
import { localeFor } from "./locale";

/** keysOf returns the path of each message, with the number of its parameters. */
function keysOf(value: unknown, path = ""): readonly string[] {
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).flatMap(([key, child]) => keysOf(child, `${path}.${key}`));
  }
  return [typeof value === "function" ? `${path}(${value.length})` : path];
}

describe("the catalogues", () => {
  it("have the same messages with the same parameters", () => {
    expect(keysOf(en).length).toBeGreaterThan(250);
    expect(keysOf(de)).toEqual(keysOf(en));
  });

  it("count by the rules of the language", () => {
    expect([0, 1, 2, 1000].map((n) => en.common.members(n))).toEqual(["0 members", "1 member", "2 members", "1,000 members"]);
    expect([0, 1, 2, 1000].map((n) => de.common.members(n))).toEqual(["0 Mitglieder", "1 Mitglied", "2 Mitglieder", "1.000 Mitglieder"]);
    expect([1, 2].map((n) => en.sidebar.mentions(n))).toEqual(["mention", "mentions"]);
    expect([1, 2].map((n) => de.sidebar.mentions(n))).toEqual(["Erwähnung", "Erwähnungen"]);
    const polish = counterFor("pl");
    const forms = { one: "# plik", few: "# pliki", many: "# plików", other: "# pliku" };
    expect([1, 3, 5, 22].map((n) => polish(n, forms))).toEqual(["1 plik", "3 pliki", "5 plików", "22 pliki"]);
  });
});

describe("the language", () => {
  it("is the first of the browser's languages that has a catalogue", () => {
    expect(languageFor(["fr-FR", "de-AT", "en"])).toBe("de");
    expect(languageFor(["EN-gb", "de"])).toBe("en");
    expect(languageFor(["fr", "constructor"])).toBe("en");
    expect(languageFor([])).toBe("en");
  });

  it("has the user's regional variant for dates", () => {
    expect(localeFor("en", ["de-DE", "en-GB"])).toBe("en-GB");
    expect(localeFor("de", ["en-GB"])).toBe("de");
  });
});

/** fieldCodes returns the codes that the server can send, from the API document. */
function fieldCodes(): readonly FieldCode[] {
  const document = readFileSync(fileURLToPath(new URL("../../../docs/openapi.yaml", import.meta.url)), "utf8");
  const list = /^    FieldCode:\n      type: string\n      enum:\n((?:        - \w+\n)+)/m.exec(document)?.[1] ?? "";
  return [...list.matchAll(/\w+/g)].map(([code]) => code as FieldCode);
}

describe("an error in a field", () => {
  it.each([
    ["name", "blank", {}, "Name can't be empty."],
    ["username", "length", { min: 3, max: 50 }, "Username needs 3 to 50 characters."],
    ["bio", "length", { max: 500 }, "About you can have at most 500 characters."],
    ["name", "length", { min: 0, max: 1 }, "Name can have at most 1 character."],
    ["password", "length", { min: 8 }, "Password needs at least 8 characters."],
    ["body", "bytes", { max: 16384 }, "Message is too long. It can have at most 16,384 bytes."],
    ["limit", "range", { min: 1, max: 200 }, "limit must be between 1 and 200."],
    ["seq", "range", { min: 0 }, "seq must be at least 0."],
    ["email", "email", {}, "Enter an email address."],
    ["username", "taken", {}, "Username is already taken."],
    ["avatar_url", "picture_pixels", { max: 4096 }, "The picture can have at most 4096 × 4096 pixels."],
    ["some_field", "new_rule" as FieldCode, {}, "some_field is odd."],
    ["constructor", "constructor" as FieldCode, {}, "constructor is odd."],
  ] as const)("%s: %s", (field, code, limits, sentence) => {
    expect(fieldError({ field, code, message: "is odd", ...limits })).toBe(sentence);
  });

  it("has a sentence in each catalogue for every code of the server", () => {
    expect(fieldCodes().length).toBeGreaterThan(20);
    for (const catalogue of [en, de]) {
      expect(Object.keys(catalogue.fieldErrors)).toEqual(fieldCodes());
    }
  });

  it("is in the chosen language", async () => {
    Object.defineProperty(globalThis, "document", { value: { documentElement: {} }, configurable: true });
    await chooseLanguage("de");
    expect(document.documentElement.lang).toBe("de");
    const blank = { field: "name", code: "blank", message: "must not be blank" } as const;
    expect(fieldError(blank)).toBe("Der Name darf nicht leer sein.");
    await Promise.all([chooseLanguage("de"), chooseLanguage("en")]);
    expect(fieldError(blank)).toBe("Name can't be empty.");
  });
});
