/** The thoughts of an answer, and the token counts: the same at every endpoint. */

import { isOptional, isRecord, isRecords } from "./shapes.js";

/** A token that the model could have chosen. */
export interface TokenLogprob {
  /** The text of this token alone; an incomplete character is U+FFFD. */
  token: string;
  token_id: number;
  /** ln p(token). */
  logprob: number;
}

/** The token that the prediction without the thought gave, with which the wavefront may run ahead. */
export interface Draft {
  token: string;
  token_id: number;
  /** Whether it was fed before the thought ended, so that the next thought began early. */
  is_fed: boolean;
  /** Whether the thought decided the same token. True where there is no thought. */
  is_kept: boolean;
}

/** A thought that began after a wrong draft, which was thrown away. */
export interface DroppedThought {
  /** The draft that the thought began after. */
  token: string;
  /** The first and the newest pass that worked on it. */
  first: number;
  last: number;
}

/** How the wavefront found a token. Passes count from 0, which computed the last token of the prompt. */
export interface Passes {
  /** The pass of the token before this one, where its thought begins. */
  first: number;
  /** The pass that decided the token. */
  last: number;
  draft: Draft;
  /** The thoughts dropped since the token before this one was decided. */
  dropped: DroppedThought[];
}

/** One visible token and the thought before it. A token without a thought has "" and a weight of 0. */
export interface Thought {
  thought: string;
  /** The sampled tokens, without the two delimiters. */
  thought_token_ids: number[];
  /** Share of the thought in the prediction, from 0 to 1. */
  mixing_weight: number;
  /** The text of this token alone; an incomplete character is U+FFFD. */
  token: string;
  token_id: number;
  /** ln p(token) with the thought. */
  logprob: number;
  /** ln p(token) without the thought. */
  base_logprob: number;
  /** The most likely tokens with the thought. Needs `thought_top_logprobs`. */
  top_logprobs?: TokenLogprob[] | null;
  /** The most likely tokens without the thought. Needs `thought_top_logprobs`. */
  base_top_logprobs?: TokenLogprob[] | null;
  /** Needs `show_passes`. */
  passes?: Passes | null;
}

/** Token counts over all prompts and choices of the request. */
export interface Usage {
  prompt_tokens: number;
  /** Visible tokens, which `max_tokens` limits. */
  completion_tokens: number;
  /** `prompt_tokens` plus `completion_tokens`; thought tokens are in neither. */
  total_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number | null } | null;
  /** Thought tokens are not part of `completion_tokens`, which they may exceed. */
  completion_tokens_details?: { reasoning_tokens?: number | null } | null;
}

/** One of the most likely tokens at a position. */
export interface TopLogprob {
  token: string;
  logprob: number;
  /** UTF-8 of the token, which may be part of a character. */
  bytes?: number[] | null;
}

/** A token of the text, with the most likely ones in its place. */
export interface ChatTokenLogprob extends TopLogprob {
  top_logprobs: TopLogprob[];
}

/** Whether the object has a list of thoughts, or none. */
export function hasThoughts(value: Record<string, unknown>): boolean {
  return isOptional(value["thoughts"], isRecords);
}

/** Whether the object has token counts, or none. */
export function hasUsage(value: Record<string, unknown>): boolean {
  return isOptional(value["usage"], isRecord);
}
