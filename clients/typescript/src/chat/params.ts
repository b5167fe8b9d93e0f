/** Fields of a request to `/v1/chat/completions`. */

import type { ChoicesParams } from "../params.js";
import type { ToolCall } from "./types.js";

/** A part of a message; this server takes texts. */
export interface ContentPart {
  type: string;
  text?: string;
}

/** A message of the conversation; a message of an earlier answer is one too. */
export interface ChatMessage {
  /** system, developer, user, assistant or tool. */
  role: string;
  content?: string | readonly ContentPart[] | null;
  name?: string | null;
  tool_calls?: readonly ToolCall[] | null;
  /** Of a tool's message: the call that it answers. */
  tool_call_id?: string | null;
}

/** A function that the model may call. */
export interface Tool {
  type: "function" | (string & {});
  function: {
    name: string;
    description?: string | null;
    /** A JSON schema. */
    parameters?: Readonly<Record<string, unknown>> | null;
    strict?: boolean | null;
  };
}

/** What to answer, and how. */
export interface ChatCompletionParams extends ChoicesParams {
  messages: readonly ChatMessage[];
  /** Most tokens to produce, visible and thought tokens together. */
  max_completion_tokens?: number | null;
  /** Report the log-probability of each token. */
  logprobs?: boolean | null;
  /** Report this many most likely tokens too; needs `logprobs`. */
  top_logprobs?: number | null;
  /** Return the joined thoughts as `message.reasoning` and `message.reasoning_content`. */
  include_reasoning?: boolean | null;
  tools?: readonly Tool[] | null;
  /** `none`, `auto`, `required`, or a function. */
  tool_choice?: string | Readonly<Record<string, unknown>> | null;
  /** false: at most one call in an answer. */
  parallel_tool_calls?: boolean | null;
  /** Begin an answer behind the messages; default true, unless the last one is continued. */
  add_generation_prompt?: boolean | null;
  /** The model continues the last message instead of answering it. */
  continue_final_message?: boolean | null;
  metadata?: Readonly<Record<string, string>> | null;
  prompt_cache_key?: string | null;
  safety_identifier?: string | null;
}
