/** What the page knows of the served model, from `GET /v1/models`. */

import type { ModelCard } from "qstar-client";
import { flag, integer, object, text } from "../parts/check";
import { MOST_TOKENS, thinkingRule, tokenCount } from "../parts/fields";
import type { Settings, ThinkingRule } from "../types";

/** A model card in which every field that the page uses is there. */
export type Card = Omit<ModelCard, keyof Told> & Told;

/**
 * The card of the served model.
 *
 * @throws Error: the server lists no model.
 * @throws InvalidDataError: a field is not as it should be.
 */
export function cardOf(card: ModelCard | undefined): Card {
  if (card === undefined) throw new Error("The server lists no model.");
  return { ...card, ...OLDER_SERVER, ...told(card, "The model's card") };
}

/** The fields that the page uses. */
interface Told {
  readonly description: string;
  readonly max_model_len: number;
  readonly num_thought_tokens: number;
  readonly max_thought_tokens: number;
  readonly thinking: ThinkingRule;
  readonly max_top_logprobs: number;
  readonly thoughts_allowed: boolean;
  readonly has_chat_template: boolean;
  readonly has_gate: boolean;
}

const told = object<unknown, Partial<Told>>(
  {},
  {
    description: text,
    max_model_len: integer(1, MOST_TOKENS),
    num_thought_tokens: tokenCount,
    max_thought_tokens: tokenCount,
    thinking: thinkingRule,
    max_top_logprobs: tokenCount,
    thoughts_allowed: flag,
    has_chat_template: flag,
    has_gate: flag,
  },
);

/** What holds for a server that does not say it. */
const OLDER_SERVER: Told = {
  description: "",
  max_model_len: 4096,
  num_thought_tokens: 0,
  max_thought_tokens: 64,
  thinking: { where: "everywhere" },
  max_top_logprobs: 0,
  thoughts_allowed: true,
  has_chat_template: true,
  has_gate: false,
};

/** Whether there will be thoughts to see. */
export function showsThoughts(card: Card): boolean {
  return card.thoughts_allowed && card.max_thought_tokens > 0;
}

/** Alternatives to ask for at each token. */
const NUM_ALTERNATIVES = 5;

export function numAlternatives(card: Card): number {
  return Math.min(NUM_ALTERNATIVES, card.max_top_logprobs);
}

export const NO_SETTINGS: Settings = {
  max_tokens: 64,
  temperature: null,
  top_p: null,
  top_k: null,
  seed: null,
  num_thought_tokens: null,
  thought_temperature: null,
  think_threshold: null,
  thinking: null,
  stop: [],
};
