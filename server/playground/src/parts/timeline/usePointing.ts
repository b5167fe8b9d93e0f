/**
 * Marks a token and its bars while the pointer or the focus is at one of them.
 *
 * The mark is an attribute that no component draws, so that nothing is drawn again for it: pointers
 * move often, and answers are long.
 */

import { useEffect } from "preact/hooks";

const MARK = "data-pointed";

export function usePointing(): void {
  useEffect(() => {
    const onPoint = (event: Event): void => mark(indexAt(event.target));
    for (const name of EVENTS) document.addEventListener(name, onPoint);
    return () => {
      for (const name of EVENTS) document.removeEventListener(name, onPoint);
      mark(null);
    };
  }, []);
}

const EVENTS = ["pointerover", "focusin"] as const;

/** The index of the token that an element belongs to, as a token or as a bar. */
function indexAt(target: EventTarget | null): string | null {
  if (!(target instanceof Element)) return null;
  const element = target.closest<HTMLElement>("[data-index], [data-bar]");
  return element?.dataset["index"] ?? element?.dataset["bar"] ?? null;
}

function mark(index: string | null): void {
  for (const old of document.querySelectorAll(`[${MARK}]`)) old.removeAttribute(MARK);
  if (index === null) return;
  const both = document.querySelectorAll(`[data-index="${index}"], [data-bar="${index}"]`);
  for (const element of both) element.setAttribute(MARK, "");
}
