/** The wavefront at one pass: which thoughts run, which have ended, and what that says in words. */

import type { Bar, Layout } from "./layout";
import { quote } from "../signs";

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

const OUTCOME = {
  kept: "draft kept",
  rejected: "draft rejected",
  waited: "no draft fed",
  dropped: "dropped",
} as const;

/** What became of a thought, in two or three words. */
export function outcome(bar: Bar): string {
  return OUTCOME[bar.kind];
}

/** One sentence about a moment. */
export function describe(moment: Moment, numPasses: number): string {
  const decided = moment.decides.map((bar) => `${quote(bar.token)} (${outcome(bar)})`);
  const now = decided.length === 0 ? "decides no token" : `decides ${decided.join(", ")}`;
  const flight = counted(moment.inFlight, "thought");
  const tokens = counted(moment.numDecided, "token");
  return `Pass ${moment.pass + 1} of ${numPasses}: ${flight} in flight, ${now}; ${tokens} so far.`;
}

/** The name of a bar for those who hear the page. */
export function barName(bar: Bar): string {
  const passes =
    bar.first === bar.last ? `pass ${bar.first + 1}` : `passes ${bar.first + 1} to ${bar.last + 1}`;
  return `Token ${bar.index + 1} ${quote(bar.token)}, ${passes}, ${outcome(bar)}`;
}

/** "1 token", "2 tokens". */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
