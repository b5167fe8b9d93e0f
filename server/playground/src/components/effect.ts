/** What a thought did, in a sentence. */

import { timesAsLikely } from "../text/numbers";
import { changeOf } from "../text/shade";
import { tokenName } from "../text/signs";
import type { Thought } from "../types";

/** One or two sentences for a reader who has not seen the words of the field. */
export function effectOf(entry: Thought): string {
  if (entry.thought_token_ids.length === 0) return choiceText(entry);
  const change = changeOf(entry);
  const likely = timesAsLikely(change);
  const did = Math.abs(change) < 0.05 ? `left this token ${likely}` : `made this token ${likely}`;
  return `The thought ${did}. ${choiceText(entry)}`.trim();
}

/** The base model's choice: what would stand here without the thought. */
export function baseChoice(entry: Thought): string | null {
  return entry.passes?.draft.token ?? entry.base_top_logprobs?.[0]?.token ?? null;
}

function choiceText(entry: Thought): string {
  if (entry.thought_token_ids.length === 0) return "";
  const choice = baseChoice(entry);
  if (choice === null) return "";
  if (choice === entry.token) return "Without it the same token would stand here.";
  return `Without it “${tokenName(choice)}” would stand here.`;
}
