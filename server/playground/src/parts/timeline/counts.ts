/** The numbers above a timeline. */

import { guessKind, type GuessKind, passCount } from "../choices";
import type { Thought } from "../../types";

export interface Counts {
  readonly tokens: number;
  readonly passes: number;
  /** 1 is the speed of a model that does not think. */
  readonly passesPerToken: number;
  /** Guesses that were fed, and that the thought confirmed. */
  readonly accepted: number;
  /** Guesses that were fed, and that the thought overruled. */
  readonly rejected: number;
  /** Thoughts thrown away behind wrong guesses. */
  readonly dropped: number;
}

/** The numbers of an answer; null if the server did not tell its passes. */
export function countPasses(thoughts: readonly Thought[]): Counts | null {
  const passes = passCount(thoughts);
  if (passes === null) return null;
  const kinds = thoughts.map((thought) => thought.passes && guessKind(thought, thought.passes));
  const countOf = (kind: GuessKind): number => kinds.filter((each) => each === kind).length;
  return {
    tokens: thoughts.length,
    passes,
    passesPerToken: passes / thoughts.length,
    accepted: countOf("kept"),
    rejected: countOf("rejected"),
    dropped: thoughts.reduce((sum, { passes: each }) => sum + (each?.dropped.length ?? 0), 0),
  };
}
