"""Processing all rows at once equals the definition for each row, for any batch."""

import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from qstar_infer.sampling.logits_processing import process_logits
from qstar_infer.step import VisiblePick

from .picks import draw_logits, draw_pick, sample_visible
from .reference import process_row

SMALL, LARGE = 260, 49152


@pytest.fixture(params=[1, 2])
def num_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def draw_batch(seed: int, vocab_size: int) -> tuple[Tensor, list[VisiblePick]]:
    draw = random.Random(seed)
    num_rows = draw.randint(1, 12)
    picks = [draw_pick(draw, row=row, vocab_size=vocab_size) for row in range(num_rows)]
    return draw_logits(num_rows, vocab_size, seed=seed), picks


def assert_by_definition(logits: Tensor, processed: Tensor, picks: list[VisiblePick]) -> None:
    for row, pick in enumerate(picks):
        expected = process_row(logits[row].numpy(), pick)
        got = processed[row].numpy()
        kept = got > -np.inf
        assert not (expected.must_keep & ~kept).any(), f"{pick} removes too much"
        assert not (kept & ~expected.may_keep).any(), f"{pick} keeps too much"
        assert np.array_equal(got[kept], expected.logits[kept]), f"{pick} changes a logit"


def process_one(logits: list[float], **fields: float) -> list[float]:
    pick = VisiblePick(row=0, seed=0, position=0, temperature=1.0, **fields)  # type: ignore[arg-type]
    result: list[float] = process_logits(torch.tensor([logits]), [pick])[0].tolist()
    return result


@pytest.mark.parametrize(
    ("vocab_size", "seed"), [(SMALL, i) for i in range(60)] + [(LARGE, i) for i in range(6)]
)
def test_any_mix_of_settings_equals_the_definition(vocab_size: int, seed: int) -> None:
    logits, picks = draw_batch(seed, vocab_size)
    assert_by_definition(logits, process_logits(logits, picks), picks)


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize(
    ("vocab_size", "seed"), [(SMALL, i) for i in range(12)] + [(LARGE, i) for i in range(4)]
)
def test_a_row_is_the_same_alone_and_in_a_batch(vocab_size: int, seed: int) -> None:
    """Bit for bit, because one unit in the last place can change a filter or an argmax."""
    logits, picks = draw_batch(seed, vocab_size)
    together = process_logits(logits, picks)
    tokens = sample_visible(logits, picks, base_logits=logits[:0], mixing_weights=[])
    for row, pick in enumerate(picks):
        alone = logits[row : row + 1]
        assert torch.equal(process_logits(alone, [pick])[0], together[row]), pick
        (token,) = sample_visible(alone, [pick], base_logits=alone[:0], mixing_weights=[])
        assert token.token_id == tokens[row].token_id


@pytest.mark.usefixtures("num_threads")
def test_the_number_of_rows_does_not_change_a_row() -> None:
    """Kernels choose the order of additions by shape; these are the shapes where it may change."""
    logits = draw_logits(1, LARGE, seed=3)
    pick = VisiblePick(row=0, seed=0, position=0, temperature=0.8, top_k=900, top_p=0.9, min_p=0.01)
    whole = process_logits(logits, [pick])
    assert 1 < (whole > -math.inf).sum() < 900
    mate = VisiblePick(row=0, seed=0, position=0, temperature=0.9, top_p=0.95)
    for num_mates in (1, 2, 6, 7, 8, 16):
        batch = torch.cat([logits, logits.flip(1).repeat(num_mates, 1)])
        assert torch.equal(process_logits(batch, [pick, *[mate] * num_mates])[:1], whole)


def test_the_logits_given_are_not_written_to() -> None:
    logits, picks = draw_batch(1, SMALL)
    before = logits.clone()
    assert not torch.equal(process_logits(logits, picks), before)
    assert torch.equal(logits, before)


def test_without_settings_the_logits_are_returned_unchanged() -> None:
    logits = draw_logits(2, SMALL, seed=0)
    greedy = VisiblePick(row=0, seed=0, position=0, top_k=3, top_p=0.5, min_p=0.5)
    assert process_logits(logits, [greedy, greedy]) is logits


def test_a_biased_delimiter_stays_masked() -> None:
    bias = VisiblePick(row=0, seed=0, position=0, logit_bias={259: 100.0})
    assert process_logits(draw_logits(1, SMALL, seed=0), [bias])[0, 259] == -math.inf


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"top_k": 2}, [3.0, 2.0, 2.0, 2.0]),
        ({"top_k": 1}, [3.0]),
        ({"top_p": 0.5}, [3.0, 2.0, 2.0, 2.0]),  # shares 0.439, three of 0.162, 0.059, 0.008, ...
        ({"top_p": 0.4}, [3.0]),
        ({"min_p": 0.36}, [3.0, 2.0, 2.0, 2.0]),  # exp(-1) is 0.368
        ({"min_p": 0.38}, [3.0]),
        ({"min_p": 1.0}, [3.0]),
    ],
)
def test_tokens_that_tie_with_the_last_kept_one_are_kept(
    fields: dict[str, float], kept: list[float]
) -> None:
    got = process_one([2.0, 3.0, 2.0, 1.0, 2.0, -1.0, -9.0], **fields)
    assert sorted((each for each in got if each > -math.inf), reverse=True) == kept


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1 - 1e-7])
def test_a_flat_distribution_needs_more_than_the_first_candidates(top_p: float) -> None:
    """One row needs more than 1,024 tokens to reach `top_p`, another row only a few."""
    flat = -torch.arange(LARGE, dtype=torch.float32) * 1e-5
    steep = -torch.arange(LARGE, dtype=torch.float32) * 0.1
    picks = [VisiblePick(row=0, seed=0, position=0, temperature=1.0, top_p=top_p)] * 2
    logits = torch.stack([flat, steep])
    processed = process_logits(logits, picks)
    assert_by_definition(logits, processed, picks)
    assert (processed[0] > -math.inf).sum() > 1024
    assert (processed[1] > -math.inf).sum() < 1024


def test_all_tokens_with_equal_logits_are_kept() -> None:
    logits = torch.zeros(1, LARGE)
    pick = VisiblePick(row=0, seed=0, position=0, temperature=1.0, top_p=0.5, top_k=5, min_p=1.0)
    assert torch.equal(process_logits(logits, [pick]), logits)
