/** Runs for the tests of the parts. */

import type { DroppedThought, Run, Thought } from "../types";

/** A token with its thought. */
export function thought(token: string, fields: Partial<Thought> = {}): Thought {
  return {
    thought: " so",
    thought_token_ids: [7],
    mixing_weight: 0.25,
    token,
    token_id: 1,
    logprob: -0.5,
    base_logprob: -1.5,
    ...fields,
  };
}

/** A token found in the passes from `first` to `last`. */
export function passed(
  token: string,
  first: number,
  last: number,
  draft: { is_fed: boolean; is_kept: boolean } = { is_fed: true, is_kept: true },
  dropped: readonly DroppedThought[] = [],
): Thought {
  return thought(token, {
    passes: { first, last, draft: { token, token_id: 1, ...draft }, dropped },
  });
}

/** The wavefront of docs/architecture.md: thoughts of 2 tokens, and one wrong guess. */
export const WAVEFRONT: readonly Thought[] = [
  passed(" a", 0, 2),
  passed(" b", 1, 3),
  passed(" c", 2, 4, { is_fed: true, is_kept: false }, [
    { token: " x", first: 3, last: 4 },
    { token: " y", first: 4, last: 4 },
  ]),
  passed(" d", 5, 7, { is_fed: false, is_kept: true }),
];

/** A finished run of completions. */
export function finishedRun(thoughts: readonly Thought[], fields: Partial<Run> = {}): Run {
  return {
    id: 1,
    state: "done",
    error: null,
    created: 1796000000,
    model: "lab",
    endpoint: "completions",
    request: { model: "lab", prompt: "2 + 2 =", max_tokens: 8, show_thoughts: true, seed: 7 },
    choices: [
      {
        index: 0,
        text: thoughts.map((each) => each.token).join(""),
        finish_reason: "stop",
        thoughts,
      },
    ],
    usage: { prompt_tokens: 4, completion_tokens: thoughts.length, total_tokens: 8 },
    seconds: 2,
    ...fields,
  };
}
