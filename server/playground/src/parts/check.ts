/**
 * Reads JSON that somebody else wrote: each reader takes a value and the name of its place, and
 * gives the typed value or says what is wrong there.
 */

/** Thrown for a value that is not as expected; the message is for the person who opened the file. */
export class InvalidDataError extends Error {
  override readonly name = "InvalidDataError";
}

/**
 * Checks the value at a place, such as `runs[0].model`.
 *
 * @throws InvalidDataError
 */
export type Reader<T> = (value: unknown, at: string) => T;

const LONGEST_QUOTE = 40;

/** Refuses a value. */
export function refuse(value: unknown, at: string, expected: string): never {
  throw new InvalidDataError(`${at} is ${quoted(value)}, but should be ${expected}.`);
}

/** A value in few characters. */
export function quoted(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text;
}

export const text: Reader<string> = (value, at) =>
  typeof value === "string" ? value : refuse(value, at, "a text");

export const flag: Reader<boolean> = (value, at) =>
  typeof value === "boolean" ? value : refuse(value, at, "true or false");

/** JSON has no NaN, but `1e999` reads as infinity. */
export const finite: Reader<number> = (value, at) =>
  typeof value === "number" && Number.isFinite(value) ? value : refuse(value, at, "a number");

/** A whole number within both limits. */
export function integer(least: number, most: number): Reader<number> {
  return (value, at) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
      ? (value as number)
      : refuse(value, at, `a whole number from ${least} to ${most}`);
}

/** One of a few texts. */
export function oneOf<T extends string>(...allowed: readonly T[]): Reader<T> {
  return (value, at) => {
    const found = allowed.find((each) => each === value);
    return found ?? refuse(value, at, allowed.map((each) => `"${each}"`).join(" or "));
  };
}

/** The value, or null. */
export function orNull<T>(read: Reader<T>): Reader<T | null> {
  return (value, at) => (value === null ? null : read(value, at));
}

/** What either reader takes; the message is that of the second. */
export function either<A, B>(first: Reader<A>, second: Reader<B>): Reader<A | B> {
  return (value, at) => {
    try {
      return first(value, at);
    } catch {
      return second(value, at);
    }
  };
}

/** A list of at most `most` items. */
export function list<T>(read: Reader<T>, most: number): Reader<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return refuse(value, at, "a list");
    if (value.length > most) {
      throw new InvalidDataError(`${at} has ${value.length} items; at most ${most} are allowed.`);
    }
    return value.map((item, index) => read(item, `${at}[${index}]`));
  };
}

/** An object as it is, not a list and not null. */
export const record: Reader<Readonly<Record<string, unknown>>> = (value, at) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : refuse(value, at, "an object");

type Required<T> = { readonly [K in keyof T]-?: Reader<T[K]> };
type Optional<T> = { readonly [K in keyof T]-?: Reader<Exclude<T[K], undefined>> };

/**
 * An object with these fields; others are left out, so that nothing unchecked gets into the page.
 *
 * @param required fields that must be there.
 * @param optional fields that may be absent; null counts as absent, as in the HTTP API.
 */
export function object<T, O = unknown>(
  required: Required<T>,
  optional?: Optional<O>,
): Reader<T & O> {
  const needed = Object.entries(required) as [string, Reader<unknown>][];
  const others = Object.entries(optional ?? {}) as [string, Reader<unknown>][];
  return (value, at) => {
    const fields = record(value, at);
    const own = (name: string): unknown =>
      Object.hasOwn(fields, name) ? fields[name] : undefined;
    const place = (name: string): string => (at === "" ? name : `${at}.${name}`);
    const read: [string, unknown][] = needed.map(([name, reader]) => [
      name,
      reader(own(name), place(name)),
    ]);
    for (const [name, reader] of others) {
      const found = own(name);
      if (found !== undefined && found !== null) read.push([name, reader(found, place(name))]);
    }
    return Object.fromEntries(read) as T & O;
  };
}

/** The value of a JSON text. */
export function parsedJson(source: string, what: string): unknown {
  try {
    return JSON.parse(source) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InvalidDataError(`${what} is not JSON: ${reason.slice(0, 200)}`);
  }
}
