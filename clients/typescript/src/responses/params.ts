/** Fields of a request to `/v1/responses`. */

import type { SamplingParams } from "../params.js";

/** A text, or a list of messages and other items, among them those of an earlier answer. */
export type ResponseInput = string | readonly object[];

/** What to answer, and how. */
export interface ResponseParams extends SamplingParams {
  input: ResponseInput;
  /** The system message. */
  instructions?: string | null;
  /** Most tokens to produce, visible and thought tokens together. */
  max_output_tokens?: number | null;
  top_logprobs?: number | null;
  /** Further data of the answer, such as `message.output_text.logprobs`. */
  include?: readonly string[] | null;
  /** Add an item with the joined thoughts to the output. */
  include_reasoning?: boolean | null;
  /** `{ effort: "none" }` turns thinking off; other efforts choose the length of thoughts. */
  reasoning?: Readonly<Record<string, unknown>> | null;
  /** `{ format: { ... } }`: the form of the output, for example a JSON schema. */
  text?: Readonly<Record<string, unknown>> | null;
  tools?: readonly Readonly<Record<string, unknown>>[] | null;
  tool_choice?: string | Readonly<Record<string, unknown>> | null;
  parallel_tool_calls?: boolean | null;
  truncation?: string | null;
  metadata?: Readonly<Record<string, string>> | null;
  store?: boolean | null;
  safety_identifier?: string | null;
  prompt_cache_key?: string | null;
}
