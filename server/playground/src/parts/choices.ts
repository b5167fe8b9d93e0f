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

/**
 * What became of the guess of a token: `kept` or `rejected` by the thought, or `waited` if it was
 * not fed, so that nothing ran ahead. `bare`: there was no thought, and so nothing to guess.
 */
export type GuessKind = "kept" | "rejected" | "waited" | "bare";

export function guessKind(thought: Thought, { draft }: Passes): GuessKind {
  if (thought.thought_token_ids.length === 0) return "bare";
  if (!draft.is_fed) return "waited";
  return draft.is_kept ? "kept" : "rejected";
}
