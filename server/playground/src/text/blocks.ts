/** Groups tokens, so that a long answer is drawn once and not again for each new token. */

import { endsLine } from "./signs";
import type { Thought } from "../types";

/** Tokens from `start` to before `end`. */
export interface Block {
  readonly start: number;
  readonly end: number;
  /** Whether it is whole lines, so that it can be a box of its own. */
  readonly isLines: boolean;
}

const FEW = 32;
const MANY = 96;

/** A block ends with a line if it can; no token of a block that has ended changes its block. */
export function blocksOf(entries: readonly Thought[]): Block[] {
  const blocks: Block[] = [];
  let start = 0;
  let beginsLine = false; // the first line continues the prompt
  for (let end = 1; end <= entries.length; end++) {
    const isLineEnd = endsLine(entries[end - 1]?.token ?? "");
    const size = end - start;
    if ((isLineEnd && size >= FEW) || size >= MANY) {
      blocks.push({ start, end, isLines: beginsLine && isLineEnd });
      start = end;
      beginsLine = isLineEnd;
    }
  }
  if (start < entries.length) blocks.push({ start, end: entries.length, isLines: false });
  return blocks;
}
