/** Takes over what a link to the page holds. */

import { useEffect, useState } from "preact/hooks";
import type { Setup } from "../../types";
import { fromFragment } from "./fragment";

/**
 * Reads the fragment when the page opens, and whenever it changes.
 *
 * @param change - takes the setup of the link.
 * @returns why the link cannot be used; "" if it can, or if there is none.
 */
export function useSharedSetup(change: (update: () => Setup) => void): string {
  const [reason, setReason] = useState("");
  useEffect(() => {
    const read = async (): Promise<void> => {
      try {
        const setup = await fromFragment(location.hash);
        setReason("");
        if (setup !== null) change(() => setup);
      } catch (error) {
        setReason(error instanceof Error ? error.message : String(error));
      }
    };
    const onChange = (): void => void read();
    onChange();
    window.addEventListener("hashchange", onChange);
    return () => window.removeEventListener("hashchange", onChange);
  }, [change]);
  return reason;
}
