/** Keys that work wherever the focus is. */

import { useLayoutEffect } from "preact/hooks";

/** Calls the action at Escape; null does nothing. In force before what it closes is painted. */
export function useEscape(action: (() => void) | null): void {
  useLayoutEffect(() => {
    if (action === null) return undefined;
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !event.defaultPrevented) action();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [action]);
}
