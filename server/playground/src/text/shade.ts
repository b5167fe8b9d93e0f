/** The colour behind a token, as docs/decisions/0038 defines it. */

import type { Shading, Thought } from "../types";

const MOST = 0.55;
/** Nats at which the colour of a change is full. */
const FULL_CHANGE = 3;

/** A CSS colour, or undefined where there is nothing to show. */
export function shade(entry: Thought, by: Shading): string | undefined {
  return by === "weight" ? weightColour(entry.mixing_weight) : changeColour(changeOf(entry));
}

/** The colour of a mixing weight. */
export function weightColour(weight: number): string | undefined {
  return colour("240,140,0", weight);
}

/** The colour of a change in nats. */
export function changeColour(change: number): string | undefined {
  return colour(change > 0 ? "0,114,178" : "213,94,0", Math.abs(change) / FULL_CHANGE);
}

/** By how many nats the thought made its token more likely; 0 where that is not a number. */
export function changeOf(entry: Thought): number {
  const change = entry.logprob - entry.base_logprob;
  return Number.isNaN(change) ? 0 : change;
}

function colour(rgb: string, share: number): string | undefined {
  const alpha = MOST * Math.min(1, Math.max(0, share));
  return alpha > 0 ? `rgba(${rgb},${alpha.toFixed(3)})` : undefined;
}
