/** Keys that work wherever the focus is. */

import { useEffect } from "preact/hooks";

/** Calls the action at Escape; null does nothing. */
export function useEscape(action: (() => void) | null): void {
  useEffect(() => {
    if (action === null) return undefined;
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !event.defaultPrevented) action();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [action]);
}
