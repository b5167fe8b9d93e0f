/** A first prompt that fits the served model, so that one click shows something. */

import type { Card } from "./card";

/** Something to try. */
export interface Example {
  readonly name: string;
  readonly prompt: string;
  readonly maxTokens: number;
  /** Absent: 0 and no seed. Either way everybody sees the same. */
  readonly sampling?: { readonly temperature: number; readonly seed: number };
}

/** What a stranger reads and can try first. */
export interface Welcome {
  /** One sentence: what they will see. */
  readonly promise: string;
  readonly examples: readonly [Example, ...Example[]];
}

const DIGIT_CHAINS: Welcome = {
  promise:
    "This tiny model does sums modulo 7, and it gets them right only because it thinks first. " +
    "Press Generate, then open the digit after the question mark: its thought is the working, " +
    "one step at a time.",
  examples: [
    {
      name: "It asks itself",
      prompt: "6*5+1-3",
      maxTokens: 48,
      sampling: { temperature: 1, seed: 1 },
    },
    { name: "Three steps", prompt: "5*3-2+4.............?", maxTokens: 16 },
    { name: "Eight steps", prompt: "2+6*5-1*3+4-6*2+5........?", maxTokens: 16 },
    { name: "Sixteen steps", prompt: "3*4+5-2*6+1-3*5+2-4*3+6-1*2+5*4-6?", maxTokens: 16 },
  ],
};

const LANGUAGE: Welcome = {
  promise:
    "Before every word this model thinks a short hidden thought. Press Generate: each word is " +
    "shaded by how much its thought counted, and a click on a word opens the thought.",
  examples: [
    { name: "A fact", prompt: "The capital of France is", maxTokens: 48 },
    { name: "A story", prompt: "The old lighthouse keeper climbed the stairs and", maxTokens: 96 },
    { name: "A list", prompt: "Three things to pack for a walk in the rain:\n1.", maxTokens: 96 },
  ],
};

const CHAT: Welcome = {
  ...LANGUAGE,
  examples: [
    { name: "A question", prompt: "Why is the sky blue?", maxTokens: 128 },
    { name: "A sum", prompt: "I have 3 boxes of 4 eggs. How many eggs do I have?", maxTokens: 96 },
    { name: "A poem", prompt: "Write four lines about the first snow.", maxTokens: 96 },
  ],
};

const CHAT_DIGIT_CHAINS: Welcome = {
  promise: DIGIT_CHAINS.promise.replace(" after the question mark", ""),
  examples: [
    { name: "Three steps", prompt: "5*3-2+4", maxTokens: 16 },
    { name: "Eight steps", prompt: "2+6*5-1*3+4-6*2+5", maxTokens: 16 },
    { name: "Sixteen steps", prompt: "3*4+5-2*6+1-3*5+2-4*3+6-1*2+5*4-6", maxTokens: 16 },
  ],
};

/** The lab's model thinks behind a question mark, and nothing but sums makes sense to it. */
export function welcome(card: Card, isChat: boolean): Welcome {
  const { where, tokens } = card.thinking;
  const isLab = where === "behind" && tokens?.length === 1 && tokens[0] === "?";
  if (isLab) return isChat ? CHAT_DIGIT_CHAINS : DIGIT_CHAINS;
  return isChat ? CHAT : LANGUAGE;
}
