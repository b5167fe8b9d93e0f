/** The stream of `/v1/responses`: what its events mean, and the whole at its end. */

import { StreamError } from "../errors.js";
import { type StreamEvent, type ToolCallEvent, thoughtEvents } from "../events.js";
import type { Joiner, StreamFormat } from "../stream-reader.js";
import type { Usage } from "../thoughts.js";
import {
  RESPONSE_EVENT,
  type Response,
  type ResponseStreamEvent,
  type ResponseUsage,
  type ServerResponse,
  withText,
} from "./types.js";

const LAST = ["response.completed", "response.incomplete"];
const REASONING = ["response.reasoning_text.delta", "response.reasoning_summary_text.delta"];

export const RESPONSE_STREAM: StreamFormat<ResponseStreamEvent, Response> = {
  chunk: RESPONSE_EVENT,
  joiner: () => new ResponseJoiner(),
  events: responseEvents,
  isLast: (event) => LAST.includes(event.type),
};

/** Keeps the response of the last event, which is the whole. */
class ResponseJoiner implements Joiner<ResponseStreamEvent, Response> {
  #whole: ServerResponse | null = null;

  add(event: ResponseStreamEvent): void {
    if (LAST.includes(event.type)) this.#whole = event.response ?? null;
  }

  join(): Response {
    if (this.#whole === null) throw new StreamError("the stream contained no response.completed event");
    return withText(this.#whole);
  }
}

/** What happens in an event of the server. Events that only frame others give nothing. */
function responseEvents(event: ResponseStreamEvent): StreamEvent[] {
  return [...thoughtEvents(event.thoughts, 0), ...deltaEvents(event), ...lastEvents(event)];
}

function deltaEvents({ type, delta, item, output_index }: ResponseStreamEvent): StreamEvent[] {
  const toolIndex = output_index ?? 0;
  if (type === "response.output_item.added" && item?.type === "function_call") {
    return [toolEvent(toolIndex, "", item.name ?? null, item.call_id ?? null)];
  }
  if (!delta) return [];
  if (REASONING.includes(type)) return [{ type: "reasoning", index: 0, text: delta }];
  if (type === "response.output_text.delta") return [{ type: "text", index: 0, text: delta }];
  return type === "response.function_call_arguments.delta" ? [toolEvent(toolIndex, delta, null, null)] : [];
}

function lastEvents({ type, response }: ResponseStreamEvent): StreamEvent[] {
  if (!LAST.includes(type) || !response) return [];
  const events: StreamEvent[] = [{ type: "finish", index: 0, finish_reason: finishReason(response) }];
  if (response.usage) events.push({ type: "usage", usage: plainUsage(response.usage) });
  return events;
}

function toolEvent(toolIndex: number, text: string, name: string | null, id: string | null): ToolCallEvent {
  return { type: "tool_call", index: 0, tool_index: toolIndex, arguments: text, name, id };
}

/** The reason under the name that completions and chat have for it. */
function finishReason(response: ServerResponse): string {
  const reason = response.incomplete_details?.reason;
  return reason === "max_output_tokens" ? "length" : reason || "stop";
}

/** The same counts under the names that completions and chat have for them. */
function plainUsage(usage: ResponseUsage): Usage {
  return {
    prompt_tokens: usage.input_tokens,
    completion_tokens: usage.output_tokens,
    total_tokens: usage.total_tokens,
    prompt_tokens_details: usage.input_tokens_details ?? null,
    completion_tokens_details: usage.output_tokens_details ?? null,
  };
}
