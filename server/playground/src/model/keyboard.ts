/** Keys that work wherever the focus is. */

import { useLayoutEffect } from "preact/hooks";

/** Calls the action at Escape; null does nothing. */
export function useEscape(action: (() => void) | null): void {
  // Before the paint: a key that is pressed at the sight of something must not be lost.
  useLayoutEffect(() => {
    if (action === null) return undefined;
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !event.defaultPrevented) action();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [action]);
}
