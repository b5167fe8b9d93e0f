/** Fields of a request that the Python client takes as arguments of the same name. */

const SHARED = [
  "model",
  "show_thoughts",
  "thought_top_logprobs",
  "show_passes",
  "num_thought_tokens",
  "thought_temperature",
  "thinking",
  "think_threshold",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "presence_penalty",
  "frequency_penalty",
  "repetition_penalty",
  "min_tokens",
  "stop",
  "seed",
  "max_tokens",
  "n",
] as const;

export const PYTHON_ARGUMENTS: Record<"completions" | "chat", ReadonlySet<string>> = {
  completions: new Set(["prompt", ...SHARED]),
  chat: new Set(["messages", ...SHARED]),
};
