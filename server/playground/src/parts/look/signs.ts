/**
 * A model's text, safe to show: control characters and those that turn the direction of text
 * become signs. The rules are those of clients/look/README.md, so that exported pages have the same
 * bytes as those of Python.
 */

const UNSAFE =
  // Controls without line feed and tab, marks of direction, separators, surrogates, hidden tags.
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff\u{e0000}-\u{e007f}]/gu;

/** The text with a sign for each unsafe character; line feeds and tabs stay. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => sign(character.codePointAt(0) ?? 0));
}

/** As `printable`, with signs for line breaks and tabs as well. */
export function oneLine(text: string): string {
  return printable(text.replace(/[\n\r]/g, "↵").replace(/\t/g, "⇥"));
}

function sign(code: number): string {
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (code < 0x100) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
