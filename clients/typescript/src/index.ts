/** Client for Quiet-STaR inference servers. All errors are subclasses of `QStarClientError`. */

export { Chat, ChatCompletions, type ChatCompletionStream } from "./chat/calls.js";
export type { ChatCompletionParams, ChatMessage, ContentPart, Tool } from "./chat/params.js";
export type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatCompletionChunk,
  ChatCompletionChunkChoice,
  ChatCompletionMessage,
  ChoiceDelta,
  ChoiceLogprobs,
  FunctionCall,
  ToolCall,
} from "./chat/types.js";
export { QStarClient } from "./client.js";
export { Completions, type CompletionStream } from "./completions/calls.js";
export type { CompletionParams, Prompt } from "./completions/params.js";
export type { Completion, CompletionChoice, CompletionChunk, Logprobs, PromptLogprob } from "./completions/types.js";
export type { ClientOptions, Fetch } from "./config.js";
export {
  APIConnectionError,
  APIStatusError,
  APITimeoutError,
  AuthenticationError,
  BadRequestError,
  InvalidResponseError,
  NotFoundError,
  PermissionDeniedError,
  QStarClientError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError,
  StreamError,
} from "./errors.js";
export type {
  FinishEvent,
  ReasoningEvent,
  StreamEvent,
  TextEvent,
  ThoughtEvent,
  ToolCallEvent,
  UsageEvent,
} from "./events.js";
export { type ModelCard, type ModelList, Models } from "./models.js";
export type { ChoicesParams, SamplingParams, Thinking, ThoughtParams } from "./params.js";
export { Responses, type ResponseStream } from "./responses/calls.js";
export type { ResponseInput, ResponseParams } from "./responses/params.js";
export type {
  Response,
  ResponseContent,
  ResponseOutputItem,
  ResponseStreamEvent,
  ResponseUsage,
  ServerResponse,
} from "./responses/types.js";
export type { CallOptions } from "./session.js";
export { printable } from "./signs.js";
export { Stream } from "./stream.js";
export type {
  ChatTokenLogprob,
  Draft,
  DroppedThought,
  Passes,
  Thought,
  TokenLogprob,
  TopLogprob,
  Usage,
} from "./thoughts.js";
export type { DetokenizeParams, DetokenizeResponse, TokenizeParams, TokenizeResponse } from "./tokens.js";
