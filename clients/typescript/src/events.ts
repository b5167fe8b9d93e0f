/**
 * What happens in a stream, as typed events: the same for every endpoint. The thoughts of a chunk come before its text.
 * `index` is the number of the choice.
 */

import type { Thought, Usage } from "./thoughts.js";

/** A visible token and the thought before it. Needs `show_thoughts`. */
export interface ThoughtEvent {
  type: "thought";
  index: number;
  thought: Thought;
}

/** The next part of the joined thoughts as one text. Needs `include_reasoning`. */
export interface ReasoningEvent {
  type: "reasoning";
  index: number;
  text: string;
}

/** The next part of the visible text; never empty. */
export interface TextEvent {
  type: "text";
  index: number;
  text: string;
}

/** The next part of a call of a tool; the `arguments` of all parts join to JSON. */
export interface ToolCallEvent {
  type: "tool_call";
  index: number;
  /** Which call of the message this is part of. */
  tool_index: number;
  arguments: string;
  /** Name of the function; only in the first part, like `id`. */
  name: string | null;
  id: string | null;
}

/** A choice is complete. */
export interface FinishEvent {
  type: "finish";
  index: number;
  finish_reason: string;
}

/** The token counts of the whole request. */
export interface UsageEvent {
  type: "usage";
  usage: Usage;
}

/** Any event of a stream. */
export type StreamEvent = ThoughtEvent | ReasoningEvent | TextEvent | ToolCallEvent | FinishEvent | UsageEvent;

/** The events of a list of thoughts. */
export function thoughtEvents(thoughts: Thought[] | null | undefined, index: number): ThoughtEvent[] {
  return (thoughts ?? []).map((thought) => ({ type: "thought", index, thought }));
}
