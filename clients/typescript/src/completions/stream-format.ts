/** The stream of `/v1/completions`: its events, and the whole out of its chunks. */

import { StreamError } from "../errors.js";
import { type StreamEvent, thoughtEvents } from "../events.js";
import { extended, update } from "../joining.js";
import type { Joiner, StreamFormat } from "../stream-reader.js";
import { COMPLETION_CHUNK, type Completion, type CompletionChoice, type CompletionChunk } from "./types.js";

export const COMPLETION_STREAM: StreamFormat<CompletionChunk, Completion> = {
  chunk: COMPLETION_CHUNK,
  joiner: () => new CompletionJoiner(),
  events: completionEvents,
  isLast: () => false,
};

/** Joins chunks to a `Completion`. For unknown fields, the value of the last chunk wins. */
class CompletionJoiner implements Joiner<CompletionChunk, Completion> {
  #whole: Completion | null = null;
  readonly #choices = new Map<number, CompletionChoice>();

  add(chunk: CompletionChunk): void {
    this.#whole ??= { ...chunk };
    update(this.#whole, chunk, ["choices"]);
    for (const delta of chunk.choices) {
      const choice = this.#choices.get(delta.index);
      if (choice === undefined) this.#choices.set(delta.index, structuredClone(delta));
      else extendChoice(choice, delta);
    }
  }

  join(): Completion {
    if (this.#whole === null) throw new StreamError("the stream contained no chunks");
    const choices = [...this.#choices.values()].sort((one, other) => one.index - other.index);
    return { ...this.#whole, choices };
  }
}

function completionEvents(chunk: CompletionChunk): StreamEvent[] {
  const events: StreamEvent[] = [];
  for (const { index, text, thoughts, finish_reason } of chunk.choices) {
    for (const event of thoughtEvents(thoughts, index)) events.push(event);
    if (text !== "") events.push({ type: "text", index, text });
    if (finish_reason) events.push({ type: "finish", index, finish_reason });
  }
  if (chunk.usage) events.push({ type: "usage", usage: chunk.usage });
  return events;
}

/** Append in place; the choice and its lists belong to the joiner. */
function extendChoice(choice: CompletionChoice, delta: CompletionChoice): void {
  update(choice, delta, ["index", "text", "thoughts", "token_ids", "logprobs"]);
  choice.text += delta.text;
  choice.thoughts = extended(choice.thoughts, delta.thoughts);
  choice.token_ids = extended(choice.token_ids, delta.token_ids);
  const { logprobs } = choice;
  if (!delta.logprobs) return;
  if (!logprobs) {
    choice.logprobs = structuredClone(delta.logprobs);
    return;
  }
  extended(logprobs.tokens, delta.logprobs.tokens);
  extended(logprobs.token_logprobs, delta.logprobs.token_logprobs);
  extended(logprobs.text_offset, delta.logprobs.text_offset);
  if (logprobs.top_logprobs) extended(logprobs.top_logprobs, delta.logprobs.top_logprobs);
}
