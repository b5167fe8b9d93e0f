/** What the page knows of the served model, from `GET /v1/models`. */

import type { ModelCard } from "qstar-client";
import type { Settings } from "../types";

/** A model card in which every field that the page uses is there. */
export type Card = Required<ModelCard>;

/**
 * The card of the served model.
 *
 * @throws Error: the server lists no model.
 */
export function cardOf(card: ModelCard | undefined): Card {
  if (card === undefined) throw new Error("The server lists no model.");
  return { ...OLDER_SERVER, ...card };
}

/** What holds for a server that does not say it. */
const OLDER_SERVER = {
  description: "",
  max_model_len: 4096,
  num_thought_tokens: 0,
  max_thought_tokens: 64,
  thinking: { where: "everywhere" } as const,
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
