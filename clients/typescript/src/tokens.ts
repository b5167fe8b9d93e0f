/** `client.tokenize` and `client.detokenize`: token ids of texts and conversations, and back. */

import type { AnswerType } from "./answers.js";
import type { ChatMessage, Tool } from "./chat/params.js";
import { isListOf, isRecord, isText } from "./shapes.js";

/** A text, or a conversation, whose token ids are wanted. */
export interface TokenizeParams {
  prompt?: string | null;
  messages?: readonly ChatMessage[] | null;
  model?: string | null;
  /** Whether the tokenizer adds its own tokens. Default: true for a text, false for a conversation. */
  add_special_tokens?: boolean | null;
  /** Whether to name each token too. */
  return_token_strs?: boolean | null;
  add_generation_prompt?: boolean | null;
  continue_final_message?: boolean | null;
  tools?: readonly Tool[] | null;
  chat_template_kwargs?: Record<string, unknown> | null;
}

/** The token ids of a prompt. */
export interface TokenizeResponse {
  tokens: number[];
  count: number;
  /** Most visible tokens, prompt and output together. */
  max_model_len: number;
  /** The name of each token; null unless requested with `return_token_strs`. */
  token_strs?: string[] | null;
}

/** Token ids whose text is wanted. */
export interface DetokenizeParams {
  tokens: readonly number[];
  model?: string | null;
}

/** The text of token ids, with that of special tokens. */
export interface DetokenizeResponse {
  prompt: string;
}

export const TOKENS: AnswerType<TokenizeResponse> = {
  name: "a list of tokens",
  is: (value): value is TokenizeResponse =>
    isRecord(value) && isListOf(value["tokens"], (item): item is number => typeof item === "number"),
};

export const TOKENS_TEXT: AnswerType<DetokenizeResponse> = {
  name: "the text of tokens",
  is: (value): value is DetokenizeResponse => isRecord(value) && isText(value["prompt"]),
};
