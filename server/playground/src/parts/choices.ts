/** What several parts read from a run. */

import type { Choice, Passes, SavedRun, Thought } from "../types";

/** The first answer; an empty one if there is none yet. */
export function firstChoice(run: SavedRun): Choice {
  return run.choices[0] ?? { index: 0, text: "", finish_reason: null, thoughts: [] };
}

/** Passes so far; null where the server did not tell them. */
export function passCount(thoughts: readonly Thought[]): number | null {
  let last: number | null = null;
  for (const { passes } of thoughts) {
    if (passes === undefined) return null;
    last = Math.max(last ?? 0, passes.last);
  }
  return last === null ? null : last + 1;
}

/** A guess that was fed and that the thought confirmed. */
export function isAccepted({ draft }: Passes): boolean {
  return draft.is_fed && draft.is_kept;
}

/** A guess that was fed and that the thought overruled. */
export function isRejected({ draft }: Passes): boolean {
  return draft.is_fed && !draft.is_kept;
}
