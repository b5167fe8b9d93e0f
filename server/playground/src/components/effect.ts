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

/** What the same draw would have given without the thought; null if the server did not say. */
export function drawnWithout(entry: Thought): string | null {
  return entry.passes?.draft.token ?? null;
}

function choiceText(entry: Thought): string {
  if (entry.thought_token_ids.length === 0) return "";
  const choice = drawnWithout(entry);
  if (choice === null) return "";
  const also = choice === entry.token ? " as well" : "";
  return `Without it, the same draw would have given “${tokenName(choice).trim()}”${also}.`;
}
