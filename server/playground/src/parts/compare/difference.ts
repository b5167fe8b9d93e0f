/** Two answers, token by token. */

import { changeOf } from "../../text/shade";
import { firstChoice, passCount } from "../choices";
import type { SavedRun, Thought } from "../../types";

/** The tokens of both answers at one index; undefined where an answer has ended. */
export interface Pair {
  readonly index: number;
  readonly left: Thought | undefined;
  readonly right: Thought | undefined;
}

/** Both answers aligned by index, as long as the longer one. */
export function pairs(left: readonly Thought[], right: readonly Thought[]): readonly Pair[] {
  const length = Math.max(left.length, right.length);
  return Array.from({ length }, (_, index) => ({ index, left: left[index], right: right[index] }));
}

/** Whether both answers have the same token there. */
export function isSame({ left, right }: Pair): boolean {
  return left?.token_id === right?.token_id && left?.token === right?.token;
}

/**
 * The index of the first token that differs, or null. An answer that still grows and has not got
 * there yet does not differ.
 */
export function firstDifference(
  left: readonly Thought[],
  right: readonly Thought[],
  isGrowing: boolean,
): number | null {
  const all = isGrowing ? pairs(left, right).slice(0, Math.min(left.length, right.length)) : null;
  return (all ?? pairs(left, right)).find((pair) => !isSame(pair))?.index ?? null;
}

/** Whether both answers are known by their texts alone, as from a server that shows no thoughts. */
export function hasNoTokens(left: SavedRun, right: SavedRun): boolean {
  return [left, right].every((run) => firstChoice(run).thoughts.length === 0);
}

/** What one column sums up to; null where it cannot be known. */
export interface Totals {
  readonly tokens: number;
  /** In nats for each token: by how much thoughts made the tokens more likely; null without any. */
  readonly meanChange: number | null;
  readonly tokensPerSecond: number | null;
  readonly passesPerToken: number | null;
}

export function totals(run: SavedRun): Totals {
  const { thoughts } = firstChoice(run);
  const told = thoughts.length;
  const tokens = told > 0 ? told : (run.usage?.completion_tokens ?? 0);
  const passes = passCount(thoughts);
  const sum = thoughts.reduce((total, thought) => total + changeOf(thought), 0);
  return {
    tokens,
    meanChange: thoughts.some((each) => each.thought_token_ids.length > 0) ? sum / told : null,
    tokensPerSecond: run.seconds > 0 && tokens > 0 ? tokens / run.seconds : null,
    passesPerToken: passes === null ? null : passes / tokens,
  };
}

/** At how many indexes the answers have different tokens, or only one has a token. */
export function numDifferent(left: readonly Thought[], right: readonly Thought[]): number {
  return pairs(left, right).filter((pair) => !isSame(pair)).length;
}
