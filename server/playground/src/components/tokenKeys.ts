/** Where a key leads among the tokens of an answer. */

/** The index that a key leads to; null for a key that leads nowhere. */
export function nextIndex(
  box: HTMLElement,
  index: number,
  count: number,
  key: string,
): number | null {
  switch (key) {
    case "ArrowRight":
      return Math.min(index + 1, count - 1);
    case "ArrowLeft":
      return Math.max(index - 1, 0);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    case "ArrowDown":
      return onNextLine(box, index, count, 1);
    case "ArrowUp":
      return onNextLine(box, index, count, -1);
    default:
      return null;
  }
}

/** The token below or above, nearest in its line; the same token where there is no other line. */
function onNextLine(box: HTMLElement, index: number, count: number, step: 1 | -1): number {
  const own = placeOf(box, index);
  if (own === null) return index;
  let line: number | null = null;
  let best = index;
  let bestDistance = Infinity;
  for (let other = index + step; other >= 0 && other < count; other += step) {
    const place = placeOf(box, other);
    if (place === null || Math.abs(place.top - own.top) < place.height / 2) continue;
    line ??= place.top;
    if (Math.abs(place.top - line) >= place.height / 2) break;
    const distance = Math.abs(place.left - own.left);
    if (distance < bestDistance) [best, bestDistance] = [other, distance];
  }
  return best;
}

function placeOf(box: HTMLElement, index: number): DOMRect | null {
  const token = box.querySelector(`[data-index="${index}"]`);
  return token?.getClientRects()[0] ?? null;
}
