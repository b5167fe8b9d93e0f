"""`QuietStarModel.think` against the definition, for every architecture and thought length."""

from typing import Any

import numpy as np
import pytest
import torch

from qstar_infer.errors import RequestError
from qstar_infer.sampling_params import SamplingParams

from ..tolerances import TOY_LOGITS, TOY_MIXING_WEIGHT
from .slow_loop import SlowLoop
from .toy import ARCHITECTURES, END_ID, START_ID, make_toy

PROMPTS = [[72, 105, 33, 1, 200, 14, 9], [5], [90, 91, 92, 93]]


def padded(prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = torch.tensor([prompt + [3] * (longest - len(prompt)) for prompt in prompts])
    mask = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in prompts])
    return ids, mask


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("num_thought_tokens", [0, 1, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_position_of_a_padded_batch_equals_the_definition(
    architecture: str, num_thought_tokens: int, temperature: float
) -> None:
    toy = make_toy(architecture)
    slow = SlowLoop(toy.model, toy.stock)
    ids, mask = padded(PROMPTS)
    trace = toy.model.think(
        ids, mask, num_thought_tokens=num_thought_tokens, temperature=temperature, seed=-5
    )
    params = SamplingParams(temperature=temperature, thought_temperature=temperature)
    num_compared = 0
    for row, prompt in enumerate(PROMPTS):
        for anchor in range(len(prompt)):
            want = slow.decide(prompt[: anchor + 1], params, num_thought_tokens, -5)
            keep = np.isfinite(want.base)
            assert_close(trace.base_logits[row, anchor].cpu().numpy()[keep], want.base[keep])
            if want.is_near_tie:
                continue
            assert trace.thought_ids[row, anchor].tolist() == want.thought
            weight = float(trace.mixing_weight[row, anchor])
            assert weight == pytest.approx(want.mixing_weight, abs=TOY_MIXING_WEIGHT)
            assert_close(trace.logits[row, anchor].cpu().numpy()[keep], want.mixed[keep])
            num_compared += 1
    assert num_compared >= 11, "of 12 anchors"


def assert_close(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=TOY_LOGITS)


def test_delimiters_are_never_sampled_in_thoughts_and_masked_in_the_output() -> None:
    toy = make_toy()
    with torch.no_grad():  # a model whose most likely tokens are the delimiters
        toy.model.backbone.lm_head.weight[[START_ID, END_ID]] *= 50
    ids, _ = padded([PROMPTS[0]])
    trace = toy.model.think(ids, temperature=1.0)
    assert not torch.isin(trace.thought_ids.cpu(), torch.tensor([START_ID, END_ID])).any()
    assert trace.logits[..., [START_ID, END_ID]].eq(-torch.inf).all()
    assert trace.base_logits.isfinite().all()


@pytest.mark.parametrize(
    ("ids", "mask", "param"),
    [
        ([[1, START_ID]], None, "input_ids"),
        ([[1, 260]], None, "input_ids"),
        ([[1, -1]], None, "input_ids"),
        ([[1, 2]], [[0, 1]], "attention_mask"),
        ([[1, 2]], [[0, 0]], "attention_mask"),
        ([[1, 2]], [[1]], "attention_mask"),
        ([[]], None, "input_ids"),
    ],
)
def test_an_invalid_batch_is_rejected(ids: object, mask: object, param: str) -> None:
    model = make_toy().model
    given = torch.tensor(ids, dtype=torch.int64)
    with pytest.raises(RequestError) as caught:
        model.think(given, None if mask is None else torch.tensor(mask))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1.5},
        {"seed": True},
        {"seed": 2**63},
        {"num_thought_tokens": True},
        {"num_thought_tokens": 1.5},
        {"num_thought_tokens": -1},
        {"temperature": "1"},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": 1e39},
    ],
)
def test_an_invalid_setting_is_rejected(fields: dict[str, Any]) -> None:
    """Fractions used to be accepted as a seed, and True as a thought length."""
    ids, _ = padded([PROMPTS[1]])
    with pytest.raises(RequestError, match=f"^{next(iter(fields))} must be a") as caught:
        make_toy().model.think(ids, **fields)
    assert caught.value.param in fields


def test_settings_may_be_numpy_numbers() -> None:
    model = make_toy().model
    ids, _ = padded([PROMPTS[0]])
    settings: dict[str, Any] = {"num_thought_tokens": 2, "temperature": 0.5, "seed": 7}
    plain = model.think(ids, **settings)
    numpy_settings: dict[str, Any] = {k: np.array(value)[()] for k, value in settings.items()}
    given = model.think(ids, **numpy_settings)
    assert torch.equal(given.thought_ids, plain.thought_ids)
    assert torch.equal(given.logits, plain.logits)
