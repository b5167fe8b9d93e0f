"""`best_of` candidates, and how the best are chosen."""

import math

import pytest

from qstar_infer import LLM, RequestError, SamplingParams
from qstar_infer.outputs import CompletionOutput
from qstar_infer.ranking import MeanLogprobRanker, best_outputs

from ..parity.toy import make_toy

PROMPT = [72, 105, 33, 1, 200, 14, 9]


class MostOfTokenRanker:
    """Prefers completions with high token ids."""

    def score(self, output: CompletionOutput) -> float:
        return float(sum(output.token_ids))


@pytest.fixture(scope="module")
def llm() -> LLM:
    return LLM(model=make_toy().model)


@pytest.fixture(scope="module")
def candidates(llm: LLM) -> list[CompletionOutput]:
    """Five completions, ordered by seed."""
    return complete(llm, n=5)


def complete(llm: LLM, *, n: int, best_of: int | None = None) -> list[CompletionOutput]:
    params = SamplingParams(n=n, best_of=best_of, seed=9, max_tokens=6)
    return llm.generate([PROMPT], params)[0].outputs


def token_ids(outputs: list[CompletionOutput]) -> list[list[int]]:
    return [output.token_ids for output in outputs]


def mean_logprob(output: CompletionOutput) -> float:
    return output.cumulative_logprob / len(output.token_ids)


def test_the_best_candidates_by_mean_logprob_are_returned_best_first(
    llm: LLM, candidates: list[CompletionOutput]
) -> None:
    best = sorted(candidates, key=mean_logprob, reverse=True)[:2]
    assert token_ids(best) != token_ids(candidates[:2])
    chosen = complete(llm, n=2, best_of=5)
    assert token_ids(chosen) == token_ids(best)
    assert [output.index for output in chosen] == [0, 1]


def test_a_custom_ranker_is_used(llm: LLM, candidates: list[CompletionOutput]) -> None:
    other = LLM(model=llm.model, ranker=MostOfTokenRanker())
    best = sorted(candidates, key=lambda output: sum(output.token_ids), reverse=True)[:2]
    chosen = complete(other, n=2, best_of=5)
    assert token_ids(chosen) == token_ids(best)
    assert token_ids(chosen) != token_ids(complete(llm, n=2, best_of=5))


@pytest.mark.parametrize("count", [1, 3])
def test_a_candidate_does_not_depend_on_the_number_of_candidates(
    llm: LLM, candidates: list[CompletionOutput], count: int
) -> None:
    assert token_ids(complete(llm, n=count)) == token_ids(candidates[:count])
    assert token_ids(complete(llm, n=count, best_of=count)) == token_ids(candidates[:count])


def test_all_candidates_keep_their_order(candidates: list[CompletionOutput]) -> None:
    """If all are returned, they are ordered by seed, as in a stream."""
    assert token_ids(best_outputs(candidates, 5, MeanLogprobRanker())) == token_ids(candidates)
    assert sorted(candidates, key=mean_logprob, reverse=True) != candidates


def test_a_candidate_without_tokens_ranks_last() -> None:
    empty = CompletionOutput(index=0)
    unlikely = CompletionOutput(index=1, token_ids=[1], cumulative_logprob=-1e9)
    assert MeanLogprobRanker().score(empty) == -math.inf
    assert best_outputs([empty, unlikely], 1, MeanLogprobRanker())[0].token_ids == [1]


def test_candidates_are_ranked_by_the_mean_and_not_the_sum() -> None:
    short = CompletionOutput(index=0, token_ids=[1], cumulative_logprob=-2.0)
    long = CompletionOutput(index=1, token_ids=[1, 2, 3], cumulative_logprob=-3.0)
    assert best_outputs([short, long], 1, MeanLogprobRanker())[0].token_ids == [1, 2, 3]


def test_best_of_cannot_be_streamed(llm: LLM) -> None:
    with pytest.raises(RequestError, match="cannot be streamed") as caught:
        next(llm.stream(PROMPT, SamplingParams(best_of=2)))
    assert caught.value.param == "best_of"
    llm.close()  # fails if a request is open


def test_best_of_equal_to_n_can_be_streamed(llm: LLM, candidates: list[CompletionOutput]) -> None:
    params = SamplingParams(n=2, best_of=2, seed=9, max_tokens=6)
    joined = [CompletionOutput(index=index) for index in range(2)]
    for delta in llm.stream(PROMPT, params):
        for part in delta.outputs:
            joined[part.index].extend(part)
    assert token_ids(joined) == token_ids(candidates[:2])


@pytest.mark.parametrize("best_of", [0, 2, 129])
def test_best_of_out_of_range_is_rejected(best_of: int) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(n=3, best_of=best_of)
    assert caught.value.param == "best_of"
