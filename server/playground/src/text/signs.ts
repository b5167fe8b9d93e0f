/** Shows what a model wrote as text: characters that cannot be seen become signs. */

const LINE_BREAK = /\r\n|\r|\n/;
/** Controls (C0, DEL, C1), and marks that change the direction of the text around them. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** A text with signs for characters that cannot be seen; line breaks and tabs stay. */
export function withSigns(text: string): string {
  return text.replace(HIDDEN, sign);
}

/** The same on one line: line breaks and tabs are signs too. */
export function onOneLine(text: string): string {
  return withSigns(text.replace(/\r\n|\r|\n/g, "↵").replace(/\t/g, "→"));
}

/** A token on its own, for a label: what is only white space gets a name. */
export function tokenName(token: string): string {
  if (token === "") return "(empty)";
  if (/^ +$/.test(token)) return token.length === 1 ? "(space)" : `(${token.length} spaces)`;
  return onOneLine(token);
}

/** Whether a line ends with this token. */
export function endsLine(token: string): boolean {
  return token.endsWith("\n") || token.endsWith("\r");
}

/** Whether a token has a line break in it. */
export function breaksLine(token: string): boolean {
  return LINE_BREAK.test(token);
}

function sign(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}
