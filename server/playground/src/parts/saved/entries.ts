/** Checks the answers in a file: choices, their entries, and what each entry tells. */

import { finite, flag, integer, InvalidDataError, list, object, orNull, text } from "../check";
import type { Reader } from "../check";
import { MOST_TOKENS } from "../fields";
import type { Choice, DraftToken, DroppedThought, Passes, Thought, TopLogprob } from "../../types";

const MOST_ENTRIES = 20_000;
const MOST_IDS = 100_000;
const MOST_ALTERNATIVES = 1000;
const MOST_DROPPED = 1000;
const MOST_PASSES = 1_000_000;

const tokenId = integer(0, MOST_TOKENS);
const pass = integer(0, MOST_PASSES);

const topLogprobs = list(
  object<TopLogprob>({ token: text, token_id: tokenId, logprob: finite }),
  MOST_ALTERNATIVES,
);

const draft = object<DraftToken>({
  token: text,
  token_id: tokenId,
  is_fed: flag,
  is_kept: flag,
});

const dropped = list(
  inOrder(object<DroppedThought>({ token: text, first: pass, last: pass })),
  MOST_DROPPED,
);

const passes: Reader<Passes> = inOrder(
  object<Passes>({ first: pass, last: pass, draft, dropped }),
);

type Always = Omit<Thought, "top_logprobs" | "base_top_logprobs" | "passes">;
type Sometimes = Pick<Thought, "top_logprobs" | "base_top_logprobs" | "passes">;

/** One entry of an answer. */
export const entry: Reader<Thought> = object<Always, Sometimes>(
  {
    thought: text,
    thought_token_ids: list(tokenId, MOST_IDS),
    mixing_weight: finite,
    token: text,
    token_id: tokenId,
    logprob: finite,
    base_logprob: finite,
  },
  { top_logprobs: topLogprobs, base_top_logprobs: topLogprobs, passes },
);

const entries = list(entry, MOST_ENTRIES);

/** One answer of a saved run. A request that shows no thoughts has none, or null. */
export const choice: Reader<Choice> = object<Choice>({
  index: integer(0, MOST_TOKENS),
  text,
  finish_reason: orNull(text),
  thoughts: (value, at) => entries(value ?? [], at),
});

/** A stretch of passes that does not end before it begins. */
function inOrder<T extends { readonly first: number; readonly last: number }>(
  read: Reader<T>,
): Reader<T> {
  return (value, at) => {
    const stretch = read(value, at);
    if (stretch.first <= stretch.last) return stretch;
    throw new InvalidDataError(
      `${at} begins in pass ${stretch.first}, but ends in pass ${stretch.last}.`,
    );
  };
}
