/** Values as source text: of JSON and JavaScript, of Python, and as one word of a shell. */

/** What a terminal or an editor would obey or hide: controls, direction, separators, tags. */
const HIDDEN =
  /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;
const WIDTH = 2;

/** JSON in lines, which is JavaScript as well. Hidden characters are escapes. */
export function json(value: unknown): string {
  const text = JSON.stringify(value, null, WIDTH);
  return text.replace(HIDDEN, (character) => [...units(character)].join(""));
}

/** A value of JSON as a Python literal on one line. */
export function python(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    const items = Object.entries(value).map(([name, each]) => `${python(name)}: ${python(each)}`);
    return `{${items.join(", ")}}`;
  }
  return String(value);
}

/** One word for bash, zsh and sh, whatever is in it. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The escapes of JSON mean the same in Python; only those beyond 16 bits have another form. */
function pythonText(text: string): string {
  return JSON.stringify(text).replace(HIDDEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
  });
}

function* units(character: string): Generator<string> {
  for (let index = 0; index < character.length; index += 1) {
    yield `\\u${hex(character.charCodeAt(index), 4)}`;
  }
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
