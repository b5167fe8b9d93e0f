/** What the compiler must refuse and accept. The tests of this file pass if it compiles. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { CompletionParams, ModelCard, QStarClient, StreamEvent, Thought } from "../src/index.js";

/** Never called: only its types matter. */
export async function uses(client: QStarClient): Promise<void> {
  await client.completions.create({ prompt: [1, 2], thinking: { where: "behind", tokens: ["?", 17] }, seed: null });
  await client.completions.create({ prompt: null, logit_bias: { 17: -100 }, stop: ["a"] as const });
  // @ts-expect-error: there is no such field
  await client.completions.create({ prompt: "x", num_thoughts: 3 });
  // @ts-expect-error: the prompt is missing
  await client.completions.create({ max_tokens: 3 });
  // @ts-expect-error: the tokens are missing
  await client.completions.create({ prompt: "x", thinking: { where: "behind" } });
  // @ts-expect-error: create() does not stream
  await client.completions.create({ prompt: "x", stream: true });
  // @ts-expect-error: a field of another endpoint
  await client.responses.create({ input: "x", max_tokens: 3 });

  const messages = [{ role: "user", content: "Hi" }];
  const { choices } = await client.chat.completions.create({ messages, show_thoughts: true });
  for (const { message } of choices) await client.chat.completions.create({ messages: [...messages, message] });
  const response = await client.responses.create({ input: messages, reasoning: { effort: "none" } });
  const text: string = response.output_text;
  await client.responses.create({ input: [...response.output, { role: "user", content: text }] });

  for await (const event of client.chat.completions.stream({ messages })) describe(event);
}

function describe(event: StreamEvent): string {
  switch (event.type) {
    case "thought":
      return weightOf(event.thought);
    case "text":
    case "reasoning":
      return event.text;
    case "tool_call":
      return event.arguments;
    case "finish":
      return event.finish_reason;
    case "usage":
      return String(event.usage.completion_tokens_details?.reasoning_tokens ?? 0);
  }
}

function weightOf(thought: Thought): string {
  const best = thought.top_logprobs?.[0]?.token ?? "";
  // @ts-expect-error: only with `show_passes`
  const last: number = thought.passes.last;
  return `${thought.mixing_weight.toFixed(2)} ${best} ${last}`;
}

export function limitOf(model: ModelCard, params: CompletionParams): number {
  // @ts-expect-error: other servers do not tell it
  const longest: number = model.max_thought_tokens;
  return Math.min(longest, params.num_thought_tokens ?? 0);
}

test("an event is described by its type", () => {
  assert.equal(describe({ type: "finish", index: 0, finish_reason: "stop" }), "stop");
});
