/** Answers of `/v1/responses`, with the names of the openai package's types. */

import type { AnswerType } from "../answers.js";
import { isListOf, isOptional, isRecord, isRecords, isText } from "../shapes.js";
import { type ChatTokenLogprob, type Thought, hasThoughts, hasUsage } from "../thoughts.js";

/** A part of a message (`output_text`, `refusal`) or of a reasoning item (`reasoning_text`). */
export interface ResponseContent {
  type: string;
  text?: string | null;
  /** Empty unless requested with `include: ["message.output_text.logprobs"]`. */
  logprobs?: ChatTokenLogprob[] | null;
}

/** An item of the output: a message, the reasoning before it, or a call of a function. */
export interface ResponseOutputItem {
  /** `message`, `reasoning` or `function_call`. */
  type: string;
  id?: string | null;
  status?: string | null;
  role?: string | null;
  content?: ResponseContent[] | null;
  summary?: ResponseContent[] | null;
  /** Of a function call: the function. */
  name?: string | null;
  /** Of a function call: JSON as the model wrote it. It may be invalid. */
  arguments?: string | null;
  call_id?: string | null;
}

/** Token counts of a response. */
export interface ResponseUsage {
  input_tokens: number;
  output_tokens: number;
  total_tokens: number;
  input_tokens_details?: { cached_tokens?: number | null } | null;
  output_tokens_details?: { reasoning_tokens?: number | null } | null;
}

/** A response as the server sends it. */
export interface ServerResponse {
  id: string;
  object: string;
  /** Unix time in seconds. */
  created_at: number;
  model: string;
  /** `completed`, `incomplete`, `failed` or `in_progress`. */
  status?: string | null;
  output: ResponseOutputItem[];
  error?: { code?: string | null; message?: string | null } | null;
  /** `reason` is `max_output_tokens` or `content_filter`. */
  incomplete_details?: { reason?: string | null } | null;
  usage?: ResponseUsage | null;
  /** One per visible token; absent unless requested with `show_thoughts`. */
  thoughts?: Thought[] | null;
}

/** The answer of `responses.create`. */
export interface Response extends ServerResponse {
  /** The visible text of all messages. */
  output_text: string;
}

/** One event of a stream, as the server names it. Which fields it has depends on the type. */
export interface ResponseStreamEvent {
  /** For example `response.output_text.delta`, `response.completed`. */
  type: string;
  sequence_number?: number | null;
  response?: ServerResponse | null;
  item?: ResponseOutputItem | null;
  part?: ResponseContent | null;
  output_index?: number | null;
  content_index?: number | null;
  item_id?: string | null;
  delta?: string | null;
  text?: string | null;
  /** Thoughts of the tokens in this event; absent unless requested with `show_thoughts`. */
  thoughts?: Thought[] | null;
}

export const RESPONSE: AnswerType<ServerResponse> = { name: "a response", is: isResponse };

export const RESPONSE_EVENT: AnswerType<ResponseStreamEvent> = {
  name: "an event of a response",
  is: (value): value is ResponseStreamEvent =>
    isRecord(value) &&
    isText(value["type"]) &&
    hasThoughts(value) &&
    isOptional(value["response"], isResponse) &&
    isOptional(value["item"], isItem) &&
    isOptional(value["delta"], isText),
};

/** The response with its text. */
export function withText(response: ServerResponse): Response {
  const parts = response.output.flatMap((item) => item.content ?? []);
  const texts = parts.map((part) => (part.type === "output_text" ? (part.text ?? "") : ""));
  return { ...response, output_text: texts.join("") };
}

function isResponse(value: unknown): value is ServerResponse {
  if (!isRecord(value) || !isListOf(value["output"], isItem)) return false;
  return hasThoughts(value) && hasUsage(value) && isOptional(value["incomplete_details"], isRecord);
}

function isItem(value: unknown): value is ResponseOutputItem {
  return isRecord(value) && isText(value["type"]) && isOptional(value["content"], isRecords);
}
