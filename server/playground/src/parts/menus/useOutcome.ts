/** What the last action of a menu did, for the line below it. */

import { useEffect, useState } from "preact/hooks";
import { copyText } from "./clipboard";

export interface Outcome {
  /** What was done, for a short while; else "". */
  readonly done: string;
  /** Why it was not done; else "". */
  readonly failed: string;
  /** A text that the person must copy, because the browser refused to; else "". */
  readonly uncopied: string;
}

export interface OutcomeControl extends Outcome {
  readonly copy: (text: string, what: string) => Promise<void>;
  readonly succeed: (done: string) => void;
  readonly fail: (error: unknown) => void;
  readonly clear: () => void;
}

const SHOWN_MS = 4000;
const NOTHING: Outcome = { done: "", failed: "", uncopied: "" };

export function useOutcome(): OutcomeControl {
  const [outcome, setOutcome] = useState(NOTHING);
  useEffect(() => {
    if (outcome.done === "") return undefined;
    const timer = setTimeout(() => setOutcome(NOTHING), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [outcome]);
  return {
    ...outcome,
    copy: async (text, what) => {
      const isCopied = await copyText(text);
      setOutcome(isCopied ? { ...NOTHING, done: `${what} copied` } : { ...NOTHING, uncopied: text });
    },
    succeed: (done) => setOutcome({ ...NOTHING, done }),
    fail: (error) => {
      setOutcome({ ...NOTHING, failed: error instanceof Error ? error.message : String(error) });
    },
    clear: () => setOutcome(NOTHING),
  };
}
