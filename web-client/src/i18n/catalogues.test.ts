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

describe("an error in a field", () => {
  it.each([
    ["name", "must not be blank", "Name can't be empty."],
    ["username", "must have 3 to 50 characters", "Username needs 3 to 50 characters."],
    ["bio", "must have at most 500 characters", "About you can have at most 500 characters."],
    ["password", "must have at least 8 characters", "Password needs at least 8 characters."],
    ["email", "is not an email address", "Enter an email address."],
    ["username", "is already taken", "Username is already taken."],
    ["avatar_url", "leads to no picture", "Picture URL leads to no picture."],
    ["some_field", "is odd", "some_field is odd."],
  ])("%s: %s", (field, message, sentence) => {
    expect(fieldError({ field, message })).toBe(sentence);
  });

  it("is in the chosen language", async () => {
    Object.defineProperty(globalThis, "document", { value: { documentElement: {} }, configurable: true });
    await chooseLanguage("de");
    expect(document.documentElement.lang).toBe("de");
    expect(fieldError({ field: "name", message: "must not be blank" })).toBe("Der Name darf nicht leer sein.");
    await Promise.all([chooseLanguage("de"), chooseLanguage("en")]);
    expect(fieldError({ field: "name", message: "must not be blank" })).toBe("Name can't be empty.");
  });
});
