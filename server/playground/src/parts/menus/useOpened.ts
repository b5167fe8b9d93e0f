/** The runs of the file that the person has opened. */

import { useCallback, useState } from "preact/hooks";
import { setupOf } from "../../run/request";
import type { Run, SavedRun, Setup } from "../../types";

export interface Opened {
  readonly runs: readonly SavedRun[];
  readonly chosen: number;
  /** Takes the runs of a file, and shows the first. */
  readonly open: (runs: readonly SavedRun[]) => void;
  readonly choose: (index: number) => void;
}

/** Runs of a file have numbers below 0, so that they are not those of any run of this page. */
let numOpened = 0;

/**
 * @param show - shows a run.
 * @param change - takes what would make the run again.
 */
export function useOpened(
  show: (run: Run) => void,
  change: (update: () => Setup) => void,
): Opened {
  const [{ runs, chosen }, setOpened] = useState<Pick<Opened, "runs" | "chosen">>(NONE);
  const showOne = useCallback(
    (all: readonly SavedRun[], index: number) => {
      const run = all[index];
      if (run === undefined) return;
      numOpened += 1;
      setOpened({ runs: all, chosen: index });
      show({ ...run, id: -numOpened, state: "done", error: null });
      change(() => setupOf(run.endpoint, run.request));
    },
    [show, change],
  );
  const open = useCallback((all: readonly SavedRun[]) => showOne(all, 0), [showOne]);
  const choose = useCallback((index: number) => showOne(runs, index), [showOne, runs]);
  return { runs, chosen, open, choose };
}

const NONE = { runs: [], chosen: 0 };
