/** Light, dark, or as the system says; kept for the next visit. */

import { useLayoutEffect, useState } from "preact/hooks";
import { keep, recall } from "./storage";

export type Theme = "system" | "light" | "dark";

const PLACE = "qstar-theme";

/** The theme, and a function that changes it. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState<Theme>(readTheme);
  useLayoutEffect(() => {
    document.documentElement.dataset["theme"] = theme;
    keep("localStorage", PLACE, theme === "system" ? "" : theme);
  }, [theme]);
  return [theme, setTheme];
}

function readTheme(): Theme {
  const kept = recall("localStorage", PLACE);
  return kept === "light" || kept === "dark" ? kept : "system";
}
