/** Says aloud that an answer has begun or ended, and what an opened token is: not every token. */

import { count } from "../text/numbers";
import { tokenName } from "../text/signs";
import type { Run } from "../types";
import { effectOf } from "./effect";

export function LiveRegion({ run, selected }: { readonly run: Run | null; readonly selected: number | null }) {
  return (
    <>
      <p class="unseen" role="status">
        {run === null ? "" : told(run)}
      </p>
      <p class="unseen" role="status">
        {run === null || selected === null ? "" : opened(run, selected)}
      </p>
    </>
  );
}

function told(run: Run): string {
  const tokens = run.choices[0]?.thoughts.length ?? 0;
  if (run.state === "streaming") return "The model has begun to answer.";
  if (run.state === "done") return `The answer is complete: ${count(tokens, "token")}.`;
  if (run.state === "stopped") return `Stopped after ${count(tokens, "token")}.`;
  return "";
}

function opened(run: Run, index: number): string {
  const entry = run.choices[0]?.thoughts[index];
  if (entry === undefined) return "";
  const thought =
    entry.thought_token_ids.length === 0 ? "No thought" : `Thought: ${tokenName(entry.thought)}`;
  return `Token ${index + 1}, ${tokenName(entry.token)}. ${thought}. ${effectOf(entry)}`;
}
