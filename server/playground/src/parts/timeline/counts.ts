/** The numbers above a timeline. */

import { isAccepted, isRejected, passCount } from "../choices";
import type { Thought } from "../../types";

export interface Counts {
  readonly tokens: number;
  readonly passes: number;
  /** 1 is the speed of a model that does not think; 0 without tokens. */
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
  const all = thoughts.flatMap((thought) => thought.passes ?? []);
  return {
    tokens: thoughts.length,
    passes,
    passesPerToken: passes / thoughts.length,
    accepted: all.filter(isAccepted).length,
    rejected: all.filter(isRejected).length,
    dropped: all.reduce((sum, each) => sum + each.dropped.length, 0),
  };
}
