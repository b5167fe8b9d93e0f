/**
 * Text from a model or a server, made safe to show.
 *
 * A terminal obeys control characters: they move the cursor, clear the screen, change the title or reverse the
 * direction of text. Each is shown as a sign instead.
 */

const UNSAFE = new RegExp(
  "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f" + // C0 except line feed and tab, DEL, C1
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069" + // direction of text
    "\\u2028\\u2029" + // separators that some terminals break lines at
    "\\ud800-\\udfff\\u{e0000}-\\u{e007f}]", // surrogates without a partner; invisible tags
  "gu",
);

/**
 * The text with a sign for each character that a terminal would obey.
 *
 * Line feeds and tabs stay. ESC is shown as ␛, U+009B as \x9b, U+202E as \u202e.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => sign(character.codePointAt(0) ?? 0));
}

function sign(code: number): string {
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}
