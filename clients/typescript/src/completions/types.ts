/** Answers of `/v1/completions`. */

import type { AnswerType } from "../answers.js";
import { isListOf, isOptional, isRecord, isText } from "../shapes.js";
import { type Thought, type Usage, hasThoughts, hasUsage } from "../thoughts.js";

/** Four lists with one entry per token; with `echo`, those of the prompt come first. */
export interface Logprobs {
  tokens: string[];
  /** null for the first prompt token, which has no prefix. */
  token_logprobs: (number | null)[];
  /** Log-probabilities of the most likely tokens and the chosen one, by text. */
  top_logprobs?: (Record<string, number> | null)[] | null;
  /** Where each token starts in the choice's text, in characters, which are not JavaScript's units of UTF-16. */
  text_offset: number[];
}

/** One token that may follow a prefix of the prompt. */
export interface PromptLogprob {
  logprob: number;
  /** 1 for the most likely token. */
  rank?: number | null;
  decoded_token?: string | null;
}

/** One completion; in a stream, what a chunk adds to it. */
export interface CompletionChoice {
  /** Index of the prompt times `n`, plus the index among that prompt's completions. */
  index: number;
  text: string;
  /** Absent unless requested with `logprobs`. */
  logprobs?: Logprobs | null;
  /** `stop`, or `length` (`max_tokens` or a full context); null before the end of a stream. */
  finish_reason?: string | null;
  /** One per visible token; absent unless requested with `show_thoughts`. */
  thoughts?: Thought[] | null;
  /** For each prompt token, by token id: it and the most likely ones; null for the first token. */
  prompt_logprobs?: (Record<string, PromptLogprob> | null)[] | null;
  prompt_token_ids?: number[] | null;
  /** Ids of the visible tokens. Both lists are absent unless requested with `return_token_ids`. */
  token_ids?: number[] | null;
}

/** The answer of `completions.create`. */
export interface Completion {
  id: string;
  object: string;
  /** Unix time in seconds. */
  created: number;
  model: string;
  choices: CompletionChoice[];
  usage?: Usage | null;
  system_fingerprint?: string | null;
}

/** One chunk of a stream. If usage was requested, the last one has `usage` and no choices. */
export type CompletionChunk = Completion;

export const COMPLETION: AnswerType<Completion> = { name: "a completion", is: isCompletion };
export const COMPLETION_CHUNK: AnswerType<CompletionChunk> = { name: "a chunk of a completion", is: isCompletion };

function isCompletion(value: unknown): value is Completion {
  return isRecord(value) && isListOf(value["choices"], isChoice) && hasUsage(value);
}

function isChoice(value: unknown): value is CompletionChoice {
  if (!isRecord(value) || !Number.isInteger(value["index"]) || !isText(value["text"])) return false;
  return hasThoughts(value) && isOptional(value["logprobs"], isLogprobs);
}

function isLogprobs(value: unknown): boolean {
  return isRecord(value) && ["tokens", "token_logprobs", "text_offset"].every((name) => Array.isArray(value[name]));
}
