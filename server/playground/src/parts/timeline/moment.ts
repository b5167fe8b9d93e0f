/** The wavefront at one pass: which thoughts run, which have ended, and what that says in words. */

import type { Bar, Layout } from "./layout";
import { count } from "../../text/numbers";
import { tokenName } from "../../text/signs";

/** A bar at a moment. While it runs, nobody knows yet whether its guess is right. */
export type BarState = "future" | "running" | "ended";

/** The state of a thought while pass `pass` is the newest. In its last pass it is decided. */
export function stateAt(bar: Bar, pass: number): BarState {
  if (bar.first > pass) return "future";
  return bar.last > pass ? "running" : "ended";
}

/** What has happened up to a pass. */
export interface Moment {
  readonly pass: number;
  /** Thoughts that run in this pass, those that end in it included. */
  readonly inFlight: number;
  /** Tokens decided up to this pass. */
  readonly numDecided: number;
  /** The bars of the tokens that this pass decides. */
  readonly decides: readonly Bar[];
}

export function momentAt(layout: Layout, pass: number): Moment {
  let inFlight = 0;
  let numDecided = 0;
  const decides: Bar[] = [];
  for (const bar of layout.bars) {
    if (bar.first <= pass && bar.last >= pass) inFlight += 1;
    if (bar.kind === "dropped" || bar.last > pass) continue;
    numDecided += 1;
    if (bar.last === pass) decides.push(bar);
  }
  return { pass, inFlight, numDecided, decides };
}

/** What became of a guess, in few words. */
export const OUTCOME = {
  kept: "guess right",
  rejected: "guess wrong",
  waited: "no guess fed",
  bare: "no thought",
  dropped: "dropped",
} as const;

/** One sentence about a moment. Passes are named by their numbers, which count from 0. */
export function describe(moment: Moment, numPasses: number): string {
  const decided = moment.decides.map((bar) => `“${tokenName(bar.token)}” (${OUTCOME[bar.kind]})`);
  const now = decided.length === 0 ? "decides no token" : `decides ${decided.join(", ")}`;
  const flight = count(moment.inFlight, "thought");
  const tokens = count(moment.numDecided, "token");
  return (
    `Pass ${moment.pass} (the last is ${numPasses - 1}): ${flight} in flight, ${now}; ` +
    `${tokens} so far.`
  );
}

/** The name of a bar for those who hear the page. */
export function barName(bar: Bar): string {
  const passes =
    bar.first === bar.last ? `pass ${bar.first}` : `passes ${bar.first} to ${bar.last}`;
  return `Token ${bar.index + 1} “${tokenName(bar.token)}”, ${passes}, ${OUTCOME[bar.kind]}`;
}
