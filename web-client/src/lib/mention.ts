/**
 * Finds the names that are mentioned in a message body, by the same rule as the server's package
 * shared-contracts/text. The tests of both use the test vectors in that package's folder. The event
 * lists the mentioned users; this module only finds the positions of their names in the body.
 */

/** EVERYONE is the name that stands for all members. */
export const EVERYONE = "channel";

const COLLECTIVE: ReadonlySet<string> = new Set([EVERYONE, "here", "all", "everyone"]);
const MIN_NAME = 3;
const MAX_NAME = 50;

const NAME = /@([A-Za-z0-9_.-]*)/y;

/**
 * Characters of scripts that are written without spaces between words or before particles. These
 * characters may be adjacent to a mention.
 */
const UNSPACED =
  /[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\u{20000}-\u{3ffff}]/u;
const WORDY = /[\p{L}\p{M}\p{Nd}]/u;

/** isUnspaced reports whether a character belongs to a script that is written without spaces. */
export const isUnspaced = (c: string): boolean => UNSPACED.test(c);

const joins = (c: string): boolean => c > "\u007f" && WORDY.test(c) && !isUnspaced(c);

/** startsMention reports whether an @ at this index may start a mention. */
export function startsMention(text: string, at: number): boolean {
  const before = Array.from(text.slice(Math.max(0, at - 2), at)).at(-1);
  return before === undefined || !(/[A-Za-z0-9_.@/-]/.test(before) || joins(before));
}

/**
 * meaningsAt returns the names that the @ at the given index may mention, in lower case and longest
 * first. The name `channel` stands for everyone.
 */
export function meaningsAt(text: string, at: number): readonly string[] {
  NAME.lastIndex = at;
  const typed = NAME.exec(text)?.[1] ?? "";
  const after = text.codePointAt(at + 1 + typed.length);
  if (!startsMention(text, at) || (after !== undefined && (after === 0x40 || joins(String.fromCodePoint(after))))) {
    return [];
  }
  const names: string[] = [];
  for (let name = typed.toLowerCase(); name.length >= MIN_NAME; name = name.slice(0, -1)) {
    if (name === EVERYONE) {
      names.push(name);
      break;
    }
    if (name.length <= MAX_NAME && !COLLECTIVE.has(name.replace(/^[_.-]+|[_.-]+$/g, ""))) {
      names.push(name);
    }
    if (!/[_.-]$/.test(name)) {
      break;
    }
  }
  return names;
}
