/** How fields of chunks are joined. The target belongs to the joiner, the chunk to the caller. */

/** Take over all fields of the source that are not null, unknown ones too, except those of `skip`. */
export function update(target: object, source: object, skip: readonly string[]): void {
  const taken = Object.entries(source).filter(
    ([name, value]) => value !== null && value !== undefined && !skip.includes(name),
  );
  // Defined, not assigned: the name `__proto__` is a field like any other.
  for (const [name, value] of taken) {
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
  }
}

/** The target with more items, in place; null if neither was requested. */
export function extended<Item>(
  target: Item[] | null | undefined,
  more: readonly Item[] | null | undefined,
): Item[] | null {
  if (more === null || more === undefined) return target ?? null;
  const items = target ?? [];
  for (const item of more) items.push(item);
  return items;
}

/** The text of both; null if neither is there. */
export function appended(target: string | null | undefined, more: string | null | undefined): string | null {
  if (more === null || more === undefined) return target ?? null;
  return (target ?? "") + more;
}
