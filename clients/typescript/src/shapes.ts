/** Recognises the shapes of JSON values. Answers are checked as far as this client reads them. */

/** Whether the value is an object of JSON, not a list and not null. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether the value is a list whose items all pass the check. */
export function isListOf<Item>(value: unknown, isItem: (item: unknown) => item is Item): value is Item[] {
  return Array.isArray(value) && value.every(isItem);
}

/** Whether the value is absent, null, or passes the check. */
export function isOptional(value: unknown, check: (value: unknown) => boolean): boolean {
  return value === undefined || value === null || check(value);
}

/** Whether the value is a text. */
export function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** Whether the value is a list of objects. */
export function isRecords(value: unknown): value is Record<string, unknown>[] {
  return isListOf(value, isRecord);
}
