/** Checks settings and messages that come from a link or a file. */

import {
  either,
  finite,
  integer,
  list,
  object,
  oneOf,
  orNull,
  refuse,
  text,
  type Reader,
} from "./check";
import type { Message, Settings, ThinkingRule } from "../types";

/** Far above what any model can do; the server has the last word. */
export const MOST_TOKENS = 10_000_000;
const MOST_STOPS = 32;
const MOST_PLACES = 1024;
const MOST_MESSAGES = 10_000;

/** A finite number within both limits. */
export function between(least: number, most: number): Reader<number> {
  return (value, at) => {
    const number = finite(value, at);
    return number >= least && number <= most
      ? number
      : refuse(value, at, `a number from ${least} to ${most}`);
  };
}

export const tokenCount = integer(0, MOST_TOKENS);
export const seed = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
export const temperature = between(0, 1000);
export const probability = between(0, 1);
export const topK = integer(-1, MOST_TOKENS);
export const stops = list(text, MOST_STOPS);

export const message: Reader<Message> = object<Message>({
  role: oneOf("system", "user", "assistant"),
  content: text,
});

export const messages = list(message, MOST_MESSAGES);

export const thinkingRule: Reader<ThinkingRule> = object<
  Pick<ThinkingRule, "where">,
  Pick<ThinkingRule, "tokens">
>(
  { where: oneOf("everywhere", "behind", "gate") },
  { tokens: list(either(text, integer(0, MOST_TOKENS)), MOST_PLACES) },
);

export const settings: Reader<Settings> = object<Settings>({
  max_tokens: tokenCount,
  temperature: orNull(temperature),
  top_p: orNull(probability),
  top_k: orNull(topK),
  seed: orNull(seed),
  num_thought_tokens: orNull(tokenCount),
  thought_temperature: orNull(temperature),
  think_threshold: orNull(probability),
  thinking: orNull(thinkingRule),
  stop: stops,
});

