/** One line under the answer: how it ended, how long it is, how fast it was. */

import { count, share } from "../text/numbers";
import type { Run, Thought } from "../types";

export function RunSummary({ run }: { readonly run: Run }) {
  const parts = [endOf(run), ...countsOf(run)].filter((part) => part !== "");
  return <p class="summary quiet">{parts.join(" · ")}</p>;
}

function endOf(run: Run): string {
  if (run.state === "streaming") return "";
  if (run.state === "stopped") return "Stopped by you";
  if (run.state === "error") return "Not complete";
  const reason = run.choices[0]?.finish_reason;
  return reason === "length" ? "Ended at max tokens" : "Ended by itself";
}

function countsOf(run: Run): string[] {
  const entries = run.choices[0]?.thoughts ?? [];
  const tokens = run.usage?.completion_tokens ?? entries.length;
  if (tokens === 0) return [];
  const thoughtTokens =
    run.usage?.completion_tokens_details?.reasoning_tokens ??
    entries.reduce((sum, entry) => sum + entry.thought_token_ids.length, 0);
  const parts = [count(tokens, "token"), `${count(thoughtTokens, "token")} of thought`];
  if (run.state === "streaming") return parts;
  if (entries.length > 0) parts.push(`mean weight ${share(meanWeight(entries))}`);
  if (run.seconds === 0) return parts; // a file that does not tell it
  return [...parts, `${run.seconds.toFixed(1)} s`, `${(tokens / run.seconds).toFixed(1)} tokens/s`];
}

/** Over the tokens that had a thought; 0 if none had. */
function meanWeight(entries: readonly Thought[]): number {
  const weights = entries
    .filter((entry) => entry.thought_token_ids.length > 0)
    .map((entry) => entry.mixing_weight);
  return weights.reduce((sum, weight) => sum + weight, 0) / Math.max(1, weights.length);
}
