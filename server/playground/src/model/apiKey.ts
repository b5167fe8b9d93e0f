/** The API key: kept until this tab is closed, and sent to this server alone. */

import { useCallback, useState } from "preact/hooks";
import { keep, recall } from "./storage";

const PLACE = "qstar-api-key";

/** The key, "" if there is none, and a function that changes it. */
export function useApiKey(): [string, (key: string) => void] {
  const [key, setKey] = useState(() => recall("sessionStorage", PLACE) ?? "");
  const change = useCallback((changed: string) => {
    setKey(changed);
    keep("sessionStorage", PLACE, changed);
  }, []);
  return [key, change];
}
