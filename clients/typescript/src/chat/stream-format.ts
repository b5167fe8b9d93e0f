/** The stream of `/v1/chat/completions`: its events, and the whole out of its chunks. */

import { StreamError } from "../errors.js";
import { type StreamEvent, type ToolCallEvent, thoughtEvents } from "../events.js";
import { appended, extended, update } from "../joining.js";
import type { Joiner, StreamFormat } from "../stream-reader.js";
import {
  CHAT_COMPLETION_CHUNK,
  type ChatCompletion,
  type ChatCompletionChoice,
  type ChatCompletionChunk,
  type ChatCompletionChunkChoice,
  type ChatCompletionMessage,
  type ChoiceDelta,
  type ToolCall,
} from "./types.js";

const TEXTS = ["content", "refusal", "reasoning", "reasoning_content"] as const;

export const CHAT_STREAM: StreamFormat<ChatCompletionChunk, ChatCompletion> = {
  chunk: CHAT_COMPLETION_CHUNK,
  joiner: () => new ChatCompletionJoiner(),
  events: chatEvents,
  isLast: () => false,
};

/** Joins chunks to a `ChatCompletion`. For unknown fields, the value of the last chunk wins. */
class ChatCompletionJoiner implements Joiner<ChatCompletionChunk, ChatCompletion> {
  #whole: ChatCompletion | null = null;
  readonly #choices = new Map<number, ChatCompletionChoice>();

  add(chunk: ChatCompletionChunk): void {
    this.#whole ??= { ...chunk, object: "chat.completion", choices: [] };
    update(this.#whole, chunk, ["choices", "object"]);
    for (const delta of chunk.choices) {
      const choice = this.#choices.get(delta.index) ?? { index: delta.index, message: { role: "assistant" } };
      this.#choices.set(delta.index, choice);
      extendChoice(choice, delta);
    }
  }

  join(): ChatCompletion {
    if (this.#whole === null) throw new StreamError("the stream contained no chunks");
    const choices = [...this.#choices.values()].sort((one, other) => one.index - other.index);
    return { ...this.#whole, choices };
  }
}

function chatEvents(chunk: ChatCompletionChunk): StreamEvent[] {
  const events: StreamEvent[] = [];
  for (const { index, delta, thoughts, finish_reason } of chunk.choices) {
    for (const event of thoughtEvents(thoughts, index)) events.push(event);
    const reasoning = delta.reasoning || delta.reasoning_content;
    if (reasoning) events.push({ type: "reasoning", index, text: reasoning });
    if (delta.content) events.push({ type: "text", index, text: delta.content });
    for (const [position, call] of (delta.tool_calls ?? []).entries()) events.push(toolEvent(call, position, index));
    if (finish_reason) events.push({ type: "finish", index, finish_reason });
  }
  if (chunk.usage) events.push({ type: "usage", usage: chunk.usage });
  return events;
}

function toolEvent(call: ToolCall, position: number, index: number): ToolCallEvent {
  return {
    type: "tool_call",
    index,
    tool_index: call.index ?? position,
    arguments: call.function?.arguments ?? "",
    name: call.function?.name ?? null,
    id: call.id ?? null,
  };
}

function extendChoice(choice: ChatCompletionChoice, delta: ChatCompletionChunkChoice): void {
  update(choice, delta, ["index", "delta", "thoughts", "token_ids", "logprobs"]);
  choice.thoughts = extended(choice.thoughts, delta.thoughts);
  choice.token_ids = extended(choice.token_ids, delta.token_ids);
  if (delta.logprobs) {
    choice.logprobs = {
      content: extended(choice.logprobs?.content, delta.logprobs.content),
      refusal: extended(choice.logprobs?.refusal, delta.logprobs.refusal),
    };
  }
  extendMessage(choice.message, delta.delta);
}

function extendMessage(message: ChatCompletionMessage, delta: ChoiceDelta): void {
  update(message, delta, [...TEXTS, "tool_calls"]);
  for (const name of TEXTS) message[name] = appended(message[name], delta[name]);
  for (const [position, part] of (delta.tool_calls ?? []).entries()) {
    message.tool_calls ??= [];
    extendCalls(message.tool_calls, part, part.index ?? position);
  }
}

/** Append a part to its call. */
function extendCalls(calls: ToolCall[], part: ToolCall, index: number): void {
  let call = calls.find((each) => each.index === index);
  if (call === undefined) {
    call = { index, function: {} };
    calls.push(call);
  }
  update(call, part, ["index", "function"]);
  if (part.function) {
    const target = (call.function ??= {});
    update(target, part.function, ["arguments"]);
    target.arguments = appended(target.arguments, part.function.arguments);
  }
}
