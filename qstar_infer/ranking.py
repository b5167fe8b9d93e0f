"""Ranks completions, to choose among the candidates of `best_of`."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from qstar_infer.outputs import CompletionOutput


class Ranker(Protocol):
    """Scores whole completions; the highest score is the best."""

    def score(self, output: CompletionOutput) -> float:
        """A score that is comparable between completions of one prompt."""
        ...


class MeanLogprobRanker:
    """Ranks by the mean log-probability per token, as OpenAI's `best_of` does."""

    def score(self, output: CompletionOutput) -> float:
        """Nats per token; a completion without tokens ranks last."""
        if not output.token_ids:
            return -math.inf
        return output.cumulative_logprob / len(output.token_ids)


def best_outputs(
    outputs: Sequence[CompletionOutput], n: int, ranker: Ranker
) -> list[CompletionOutput]:
    """The `n` best of several whole completions, best first, with `index` renumbered.

    If all are returned, they keep their order, so that it is the same as in a stream.
    """
    ranked = list(outputs)
    if len(ranked) > n:
        ranked.sort(key=ranker.score, reverse=True)
    return [replace(output, index=index) for index, output in enumerate(ranked[:n])]
