/** Answers of `/v1/chat/completions`, with the names of the openai package's types. */

import type { AnswerType } from "../answers.js";
import { isListOf, isOptional, isRecord, isRecords, isText } from "../shapes.js";
import { type ChatTokenLogprob, type Thought, type Usage, hasThoughts, hasUsage } from "../thoughts.js";

/** Log-probabilities of a message; in a stream, those of the chunk's tokens. */
export interface ChoiceLogprobs {
  content?: ChatTokenLogprob[] | null;
  refusal?: ChatTokenLogprob[] | null;
}

/** The function that the model calls; in a stream, a part of it. */
export interface FunctionCall {
  name?: string | null;
  /** JSON as the model wrote it. It may be invalid. */
  arguments?: string | null;
}

/** A call of a tool; in a stream, a part of it. */
export interface ToolCall {
  /** In a stream: which call of the message this is part of. */
  index?: number | null;
  id?: string | null;
  type?: string | null;
  function?: FunctionCall | null;
}

/** What one chunk adds to the message. */
export interface ChoiceDelta {
  /** Only in the first chunk. */
  role?: string | null;
  content?: string | null;
  refusal?: string | null;
  /** The joined thoughts, if requested with `include_reasoning`. */
  reasoning?: string | null;
  /** The same, under the other name that clients know. */
  reasoning_content?: string | null;
  tool_calls?: ToolCall[] | null;
}

/** What the model said. It can be appended to the `messages` of the next request. */
export interface ChatCompletionMessage extends ChoiceDelta {
  role: string;
}

interface AnyChoice {
  index: number;
  /** `stop`, `length`, or `tool_calls`; null before the end of a stream. */
  finish_reason?: string | null;
  /** Absent unless requested with `logprobs`. */
  logprobs?: ChoiceLogprobs | null;
  /** One per visible token; absent unless requested with `show_thoughts`. */
  thoughts?: Thought[] | null;
  /** Ids of the visible tokens; absent unless requested with `return_token_ids`. */
  token_ids?: number[] | null;
}

/** One answer of the model. */
export interface ChatCompletionChoice extends AnyChoice {
  message: ChatCompletionMessage;
}

/** What one chunk adds to one answer. */
export interface ChatCompletionChunkChoice extends AnyChoice {
  delta: ChoiceDelta;
}

interface AnyCompletion {
  id: string;
  object: string;
  /** Unix time in seconds. */
  created: number;
  model: string;
  usage?: Usage | null;
  system_fingerprint?: string | null;
  /** Ids of the rendered conversation; absent unless requested with `return_token_ids`. */
  prompt_token_ids?: number[] | null;
}

/** The answer of `chat.completions.create`. */
export interface ChatCompletion extends AnyCompletion {
  choices: ChatCompletionChoice[];
}

/** One chunk of a stream. If usage was requested, the last one has `usage` and no choices. */
export interface ChatCompletionChunk extends AnyCompletion {
  choices: ChatCompletionChunkChoice[];
}

export const CHAT_COMPLETION: AnswerType<ChatCompletion> = {
  name: "a chat completion",
  is: (value): value is ChatCompletion => isAnswer(value, "message"),
};

export const CHAT_COMPLETION_CHUNK: AnswerType<ChatCompletionChunk> = {
  name: "a chunk of a chat completion",
  is: (value): value is ChatCompletionChunk => isAnswer(value, "delta"),
};

function isAnswer(value: unknown, part: "message" | "delta"): boolean {
  if (!isRecord(value) || !hasUsage(value)) return false;
  return isListOf(value["choices"], (choice): choice is AnyChoice => isChoice(choice, part));
}

function isChoice(value: unknown, part: "message" | "delta"): boolean {
  if (!isRecord(value) || !Number.isInteger(value["index"]) || !hasThoughts(value)) return false;
  return isOptional(value["logprobs"], isRecord) && isMessage(value[part]);
}

function isMessage(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const texts = ["content", "refusal", "reasoning", "reasoning_content"];
  return texts.every((name) => isOptional(value[name], isText)) && isOptional(value["tool_calls"], areCalls);
}

function areCalls(value: unknown): boolean {
  return isRecords(value) && value.every((call) => isOptional(call["function"], isRecord));
}
