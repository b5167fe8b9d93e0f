/** Fields of a request to `/v1/completions`. */

import type { ChoicesParams } from "../params.js";

/** One text, several texts, one list of token ids, or several such lists; null is the start of a document. */
export type Prompt = string | readonly string[] | readonly number[] | readonly (readonly number[])[] | null;

/** What to complete, and how. */
export interface CompletionParams extends ChoicesParams {
  prompt: Prompt;
  /** Generate this many candidates, return the `n` best. */
  best_of?: number | null;
  /** Return the prompt at the start of the text. */
  echo?: boolean | null;
  /** Report the chosen token and this many most likely ones; 0: only the chosen token. */
  logprobs?: number | null;
  /** The same for each prompt token, as `choices[].prompt_logprobs`. */
  prompt_logprobs?: number | null;
}
