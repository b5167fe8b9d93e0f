"""Tokens and log-probabilities of a step's rows."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from qstar_infer.sampling.logit_rows import BaseRows
from qstar_infer.sampling.sampler import sample
from qstar_infer.step import SampledToken, ThoughtPick, VisiblePick
from qstar_infer.token_rules import bitmask

from .picks import draw_logits, sample_thoughts, sample_visible

VOCAB_SIZE = 260
PICK = VisiblePick(row=0, seed=4, position=9)
LOGITS = draw_logits(3, VOCAB_SIZE, seed=1)
LOGPROBS = LOGITS.double().log_softmax(-1)
ROUNDING = 1e-5
"""Tolerance of log-probabilities up to about 30 in float32: some units of 2**-24 of that."""


def of_base(*picks: VisiblePick) -> list[SampledToken]:
    """Base picks of the first rows."""
    rows = LOGITS[: len(picks)]
    return sample_visible(rows, picks, base_logits=rows[:0], mixing_weights=[])


def logprob(row: int, token_id: int) -> object:
    return pytest.approx(float(LOGPROBS[row, token_id]), abs=ROUNDING)


def test_greedy_takes_the_most_likely_token() -> None:
    tokens = of_base(PICK, PICK)
    assert [token.token_id for token in tokens] == LOGITS[:2].argmax(-1).tolist()
    assert [token.logprob == token.top_logprob for token in tokens] == [True, True]


def test_a_known_token_is_scored_and_not_picked() -> None:
    token = of_base(replace(PICK, known_id=17, num_top_logprobs=2, temperature=1.0))[0]
    assert token.token_id == 17
    assert token.logprob == logprob(0, 17)
    assert token.top_logprob == logprob(0, int(LOGITS[0].argmax()))


@pytest.mark.parametrize("count", [0, 1, 5, 20])
def test_the_most_likely_tokens_come_best_first(count: int) -> None:
    """As many as the pick requests, even if another row requests more."""
    token, other = of_base(replace(PICK, num_top_logprobs=count), replace(PICK, num_top_logprobs=7))
    values = [value for _, value in token.top_logprobs]
    assert len(values) == count
    assert values == sorted(values, reverse=True)
    assert values == pytest.approx(LOGPROBS[0].topk(count).values.tolist(), abs=ROUNDING)
    assert all(value == logprob(0, token_id) for token_id, value in token.top_logprobs)
    assert len(other.top_logprobs) == 7


def test_logprobs_are_those_before_penalties_and_filters() -> None:
    shaped = replace(PICK, logit_bias={17: 100.0}, temperature=0.5, top_k=1)
    token = of_base(shaped)[0]
    assert token.token_id == 17
    assert token.logprob == logprob(0, 17)


def test_a_draft_has_no_logprob() -> None:
    draft, decision = of_base(replace(PICK, may_decide=False), PICK)
    assert math.isnan(draft.logprob)
    assert draft.token_id == int(LOGITS[0].argmax())
    assert decision.logprob == logprob(1, decision.token_id)


def test_mixed_rows_follow_base_rows_and_have_weight_and_base_logprob() -> None:
    base_logits = draw_logits(2, VOCAB_SIZE, seed=2)
    tokens = sample_visible(
        LOGITS, [PICK, PICK, PICK], base_logits=base_logits, mixing_weights=[0.25, 0.75]
    )
    assert [token.mixing_weight for token in tokens] == [0.0, 0.25, 0.75]
    assert tokens[0].base_logprob == tokens[0].logprob
    base = base_logits.double().log_softmax(-1)
    for row, token in enumerate(tokens[1:]):
        assert token.token_id == int(LOGITS[row + 1].argmax())
        expected = float(base[row, token.token_id])
        assert token.base_logprob == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_most_likely_tokens_without_the_thought_come_best_first(dtype: torch.dtype) -> None:
    """Each row has as many as its pick asks for, from the row where its base logits lie."""
    buffer = draw_logits(5, VOCAB_SIZE, seed=3).to(dtype)
    counts, rows = [3, 0, 7, 0, 5, 1], [4, 0, 2]
    picks = [replace(PICK, num_top_logprobs=2, num_base_top_logprobs=count) for count in counts]
    tokens, _ = sample(
        LOGITS[[0, 1, 2, 0, 1, 2]],
        picks,
        base=BaseRows(buffer, rows),
        mixing_weights=[0.1, 0.2, 0.3],
        thought_logits=LOGITS[:0],
        thought_picks=[],
    )
    base = buffer.double().log_softmax(-1)
    for token, row, count in zip(tokens[3:], rows, counts[3:], strict=True):
        values = [value for _, value in token.base_top_logprobs]
        ids = [token_id for token_id, _ in token.base_top_logprobs]
        assert values == pytest.approx(base[row].topk(count).values.tolist(), abs=ROUNDING)
        assert base[row, ids].tolist() == pytest.approx(values, abs=ROUNDING)
    for token, count in zip(tokens[:3], counts, strict=False):
        assert token.base_top_logprobs == token.top_logprobs[:count], "there is no thought"


def test_equal_distributions_give_draft_and_target_the_same_token() -> None:
    """This holds at any temperature and with any filter; drafts rely on it."""
    for seed in range(50):
        pick = replace(PICK, seed=seed, temperature=1.5, top_k=40, top_p=0.9)
        tokens = sample_visible(
            LOGITS[[0, 0]], [pick, pick], base_logits=LOGITS[:1], mixing_weights=[0.5]
        )
        assert tokens[0].token_id == tokens[1].token_id


def test_seed_and_position_determine_the_noise() -> None:
    hot = replace(PICK, temperature=2.0)
    flat = torch.zeros(1, VOCAB_SIZE)

    def token_of(pick: VisiblePick) -> int:
        return sample_visible(flat, [pick], base_logits=flat[:0], mixing_weights=[])[0].token_id

    assert token_of(hot) == token_of(replace(hot, row=5))
    assert len({token_of(replace(hot, seed=seed)) for seed in range(20)}) > 10
    assert len({token_of(replace(hot, position=position)) for position in range(20)}) > 10


def test_thoughts_have_their_own_temperature_and_noise() -> None:
    greedy = ThoughtPick(row=0, temperature=0.0, seed=4, position=9, stream_index=1)
    flat = torch.zeros(20, VOCAB_SIZE)
    streams = [replace(greedy, temperature=1.0, stream_index=index) for index in range(1, 21)]
    assert len(set(sample_thoughts(flat, streams))) > 10
    assert sample_thoughts(LOGITS, [greedy] * 3) == LOGITS.argmax(-1).tolist()
    assert sample_thoughts(LOGITS[:0], []) == []


@pytest.mark.parametrize(("heat", "thought_heat"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.7, 1.3)])
def test_visible_and_thought_tokens_of_a_step_do_not_depend_on_each_other(
    heat: float, thought_heat: float
) -> None:
    """They are sampled in one call; each is the token that it is alone."""
    picks = [replace(PICK, temperature=heat, top_k=5), replace(PICK, known_id=3), PICK]
    thoughts = [
        ThoughtPick(row=0, temperature=thought_heat, seed=4, position=9, stream_index=index)
        for index in (1, 2)
    ]
    thought_logits = draw_logits(2, VOCAB_SIZE, seed=8)
    tokens, thought_ids = sample(
        LOGITS,
        picks,
        base=BaseRows(LOGITS, [0]),
        mixing_weights=[0.5],
        thought_logits=thought_logits,
        thought_picks=thoughts,
    )
    assert tokens == sample_visible(LOGITS, picks, base_logits=LOGITS[:1], mixing_weights=[0.5])
    assert thought_ids == sample_thoughts(thought_logits, thoughts)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "rules",
    [
        {"allowed": bitmask([], vocab_size=11)},
        {"allowed": bitmask([9, 10], vocab_size=11)},  # the delimiters
        {"allowed": bitmask([3], vocab_size=11), "banned_ids": [3]},
        {"banned_ids": list(range(11)), "top_k": 3, "top_p": 0.5, "min_p": 0.1},
    ],
)
def test_a_pick_that_allows_no_token_has_a_fault_and_harms_no_other(
    temperature: float, rules: dict[str, Any]
) -> None:
    logits = torch.randn(3, 11)
    logits[:, 9:] = -torch.inf
    before = logits.clone()
    plain = VisiblePick(row=0, seed=1, position=2, temperature=temperature)
    picks = [plain, replace(plain, **rules), plain]
    tokens = sample_visible(logits, picks, base_logits=logits[:0], mixing_weights=[])
    assert [token.fault for token in tokens] == [None, "no_token", None]
    alone = sample_visible(logits[2:], [plain], base_logits=logits[:0], mixing_weights=[])
    assert tokens[2] == alone[0]
    assert torch.equal(logits, before)


def test_reported_logprobs_are_those_before_the_mask() -> None:
    logits = torch.randn(1, 11)
    allowed = bitmask([4], vocab_size=11)
    pick = VisiblePick(row=0, seed=1, position=2, allowed=allowed, num_top_logprobs=2)
    (token,) = sample_visible(logits, [pick], base_logits=logits[:0], mixing_weights=[])
    wanted = logits[0].log_softmax(-1)
    assert token.token_id == 4
    assert token.logprob == pytest.approx(float(wanted[4]))
    assert [token_id for token_id, _ in token.top_logprobs] == wanted.topk(2).indices.tolist()


def test_a_known_token_has_its_rank() -> None:
    logits = torch.tensor([[0.5, 3.0, 1.0, 1.0, -1.0]])
    ranks = []
    for known in range(5):
        pick = VisiblePick(row=0, seed=1, position=2, known_id=known)
        (token,) = sample_visible(logits, [pick], base_logits=logits[:0], mixing_weights=[])
        ranks.append(token.rank)
    assert ranks == [4, 1, 2, 2, 5]
