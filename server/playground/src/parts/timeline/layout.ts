/** Where each thought of an answer lies in the timeline: passes are columns, lanes are rows. */

import { guessKind, type GuessKind } from "../choices";
import type { Thought } from "../../types";

/** `dropped`: not a token's own thought, but one behind a wrong guess. */
export type BarKind = GuessKind | "dropped";

/** One thought, from its first to its last pass, both included. */
export interface Bar {
  /** The token that the thought decided; of a dropped one, the token whose guess was wrong. */
  readonly index: number;
  readonly kind: BarKind;
  /** Its text; of a dropped thought, the token that it began after. */
  readonly token: string;
  readonly first: number;
  readonly last: number;
  readonly lane: number;
}

export interface Layout {
  /** In the order of the tokens; the dropped thoughts of a token follow its own. */
  readonly bars: readonly Bar[];
  readonly numLanes: number;
  /** Passes count from 0, so that the last one is `numPasses - 1`. */
  readonly numPasses: number;
}

/** The timeline of the tokens that have passes. The work grows with tokens times lanes. */
export function layOut(thoughts: readonly Thought[]): Layout {
  const bars: Bar[] = [];
  const lanes = new Lanes();
  let numPasses = 0;
  for (const [index, thought] of thoughts.entries()) {
    const { token, passes } = thought;
    if (passes === undefined) continue;
    const place = (kind: BarKind, name: string, first: number, last: number): void => {
      bars.push({ index, kind, token: name, first, last, lane: lanes.take(first, last) });
      numPasses = Math.max(numPasses, last + 1);
    };
    place(guessKind(thought, passes), token, passes.first, passes.last);
    for (const each of passes.dropped) place("dropped", each.token, each.first, each.last);
  }
  return { bars, numLanes: lanes.count, numPasses };
}

/** The bars that lie in the passes from `first` to `last`, both included. */
export function barsBetween(layout: Layout, first: number, last: number): readonly Bar[] {
  return layout.bars.filter((bar) => bar.first <= last && bar.last >= first);
}

/** Far more than an engine has in flight; further thoughts, of a made-up file, share the last. */
const MOST_LANES = 512;

/** Gives each thought the first lane that is free in all its passes. */
class Lanes {
  /** The pass from which each lane is free. */
  readonly #freeFrom: number[] = [];

  get count(): number {
    return this.#freeFrom.length;
  }

  take(first: number, last: number): number {
    const free = this.#freeFrom.findIndex((pass) => pass <= first);
    const lane = free === -1 ? Math.min(this.#freeFrom.length, MOST_LANES - 1) : free;
    this.#freeFrom[lane] = last + 1;
    return lane;
  }
}
