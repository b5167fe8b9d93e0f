"""Rows of logits in C beside torch: the same mixtures, bit by bit, and the same scores."""

import math
import shutil

import pytest
import torch
from torch import Tensor

from qstar_infer.sampling import logit_rows, pick_on_cpu
from qstar_infer.sampling.logit_rows import (
    BaseRows,
    check_and_mask_,
    mix_,
    mix_logits,
    score_tokens,
)
from qstar_infer.sampling.logit_rows_library import load_logit_rows

from .picks import draw_logits

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

VOCAB_SIZES = [1, 2, 15, 17, 255, 257, 1000, 49_152]
MASKED = torch.tensor([0], dtype=torch.int32)
NO_IDS = torch.empty(0, dtype=torch.int32)
ROUNDING = 1e-5
"""Of log-probabilities up to about 50 in float32."""
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def rows_of(count: int, vocab_size: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, vocab_size, generator=generator) * 6


@pytest.fixture(params=["C", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(logit_rows, "load_logit_rows", lambda: None)
    else:
        assert load_logit_rows() is not None
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vocab_size", VOCAB_SIZES)
def test_scores_are_those_of_float64(vocab_size: int, dtype: torch.dtype) -> None:
    logits = rows_of(20, vocab_size).to(dtype)
    rows = [19, 0, 7, 7, *range(8)]
    token_ids = [(31 * row) % vocab_size for row in range(len(rows))]
    want = logits.double().log_softmax(-1)[rows]
    logprobs, tops = score_tokens(logits, rows, token_ids)
    chosen = want[range(len(rows)), token_ids]
    torch.testing.assert_close(torch.tensor(logprobs).double(), chosen, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(torch.tensor(tops).double(), want.amax(-1), rtol=0, atol=ROUNDING)


@pytest.mark.usefixtures("way")
def test_the_score_of_the_most_likely_token_is_the_top_score() -> None:
    logits = draw_logits(12, 260, seed=4)
    logprobs, tops = score_tokens(logits, range(12), logits.argmax(-1).tolist())
    assert logprobs == tops
    masked, _ = score_tokens(logits, [3], [259])
    assert masked == [-math.inf]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 258, 299])
def test_a_number_that_is_not_finite_shows(value: float, place: int) -> None:
    logits = rows_of(3, 300)
    logits[1, place] = value
    logprobs, _ = score_tokens(logits, [0, 1, 2], [5, 5, 5])
    assert [math.isfinite(each) for each in logprobs] == [True, False, True]
    assert check_and_mask_(logits, MASKED) == [True, False, True]
    assert logits[:, 0].isneginf().all()
    assert check_and_mask_(logits, MASKED) == [False, False, False]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vocab_size", VOCAB_SIZES)
def test_mixtures_are_those_of_the_definition(vocab_size: int, dtype: torch.dtype) -> None:
    stored = rows_of(11, vocab_size, seed=1).to(dtype)
    thoughts, rows = rows_of(9, vocab_size, seed=2), [10, 0, 3, 3, 9, 8, 1, 2, 4]
    weights = torch.tensor([0.0, 1.0, 0.5, 0.1, -0.3, 1.7, 1e-8, 0.999, 0.25])
    want = mix_logits(stored[rows].float(), thoughts, weights)
    whole = torch.cat([rows_of(2, vocab_size), thoughts, rows_of(1, vocab_size)])
    got = whole[2:11]
    mix_(got, BaseRows(stored, rows), weights, NO_IDS)
    assert torch.equal(got, want)
    assert torch.equal(got[0], stored[10].float())
    assert torch.equal(whole[:2], rows_of(2, vocab_size))


@pytest.mark.usefixtures("way")
def test_masked_tokens_stay_masked_for_every_weight() -> None:
    stored, thoughts = draw_logits(4, 260, seed=1), draw_logits(4, 260, seed=2)
    ids = torch.tensor([258, 259], dtype=torch.int32)
    mix_(thoughts, BaseRows(stored, range(4)), torch.tensor([0.0, 1.0, 1.5, -1.0]), ids)
    assert thoughts[:, 258:].isneginf().all()
    assert thoughts[:, :258].isfinite().all()


@pytest.mark.usefixtures("way")
def test_a_row_does_not_depend_on_the_others_or_on_threads() -> None:
    logits = rows_of(30, 5000)
    ids = [row * 3 for row in range(30)]
    together = score_tokens(logits, range(30), ids)
    for row in range(30):
        logprobs, tops = score_tokens(logits, [row], [ids[row]])
        assert (logprobs, tops) == ([together[0][row]], [together[1][row]])


def test_tokens_are_picked_in_c() -> None:
    """Nearly all of them; what C leaves to numpy is also the definition's token."""
    rows = list(rows_of(200, 49_152).numpy())
    keys = torch.randint(-(2**63), 2**63 - 1, (200,)).numpy()
    sure = pick_on_cpu._pick_sure(rows, [1.0] * 200, keys)
    assert sum(token_id >= 0 for token_id in sure) > 150
