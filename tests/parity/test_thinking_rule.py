"""`QuietStarModel.think` thinks where the rule says, as in the definition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from qstar_infer.errors import RequestError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThinkingGate
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import ThinkingRule

from ..tolerances import TOY_LOGITS, TOY_MIXING_WEIGHT
from .slow_loop import SlowLoop
from .toy import ARCHITECTURES, Toy, make_toy

IDS = torch.tensor([[72, 105, 33, 33, 200, 14, 9], [5, 33, 105, 3, 3, 3, 3]])
MASK = torch.tensor([[1] * 7, [1] * 3 + [0] * 4])
GATE = ThinkingRule(where="gate")
BEHIND = ThinkingRule(where="behind", tokens=(33, "i"))
EVERYWHERE = ThinkingRule()


def name_of(model: QuietStarModel, token_id: int) -> str:
    return str(model.tokenizer.convert_ids_to_tokens(token_id))


def compare(toy: Toy, *, thinking: ThinkingRule | None) -> list[bool]:
    """Compare each anchor with the definition; returns at which of them the definition thinks."""
    trace = toy.model.think(
        IDS, MASK, num_thought_tokens=2, temperature=0.8, seed=3, thinking=thinking
    )
    params = SamplingParams(temperature=1.0, thought_temperature=0.8, thinking=thinking)
    slow = SlowLoop(toy.model, toy.stock)
    is_thinking = []
    for row, anchor in MASK.nonzero().tolist():
        want = slow.decide(IDS[row, : anchor + 1].tolist(), params, 2, 3)
        assert not want.is_near_tie, "choose another seed for this test"
        is_thinking.append(bool(want.thought))
        assert bool(trace.is_thinking[row, anchor]) == bool(want.thought)
        assert trace.thought_ids[row, anchor].tolist() == (want.thought or [-1, -1])
        weight = float(trace.mixing_weight[row, anchor])
        assert weight == pytest.approx(want.mixing_weight, abs=TOY_MIXING_WEIGHT)
        assert (weight == 0) == (not want.thought)
        keep = np.isfinite(want.mixed)
        logits = trace.logits[row, anchor].cpu().numpy()
        assert np.array_equal(np.isfinite(logits), keep)
        np.testing.assert_allclose(logits[keep], want.mixed[keep], rtol=0, atol=TOY_LOGITS)
    return is_thinking


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_behind_some_tokens(architecture: str) -> None:
    toy = make_toy(architecture)
    by_name = ThinkingRule(where="behind", tokens=(name_of(toy.model, 33), 105))
    behind = [int(token_id) in (33, 105) for token_id in IDS[MASK.bool()]]
    assert compare(toy, thinking=by_name) == behind
    assert compare(make_toy(architecture, thinking=by_name), thinking=None) == behind


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_where_the_gate_says_so(architecture: str) -> None:
    opened = compare(make_toy(architecture, thinking=GATE), thinking=None)
    assert 0 < sum(opened) < len(opened)


def test_a_given_rule_replaces_the_checkpoints() -> None:
    toy = make_toy(thinking=GATE)
    assert all(compare(toy, thinking=EVERYWHERE))
    assert compare(make_toy(thinking=BEHIND), thinking=EVERYWHERE) == [True] * 10
    never = ThinkingRule(where="behind", tokens=(255,))
    assert not any(compare(toy, thinking=never))


def test_a_mapping_is_a_rule() -> None:
    model = make_toy().model
    given: dict[str, Any] = {"where": "behind", "tokens": [33]}
    trace = model.think(IDS, MASK, thinking=given)
    assert torch.equal(trace.is_thinking[0].cpu(), IDS[0] == 33)


def test_a_thought_that_is_dropped_may_be_nan() -> None:
    """Zero times NaN would be NaN."""
    toy = make_toy(thinking=ThinkingRule(where="behind", tokens=(255,)))
    want = toy.model.think(IDS, MASK, num_thought_tokens=0)
    with torch.no_grad():
        toy.model.thinking_parts.end_thought.fill_(float("nan"))
    got = toy.model.think(IDS, MASK)
    assert torch.equal(got.logits[MASK.bool()], want.logits[MASK.bool()])


def test_thoughts_of_length_0_think_nowhere() -> None:
    trace = make_toy(thinking=GATE).model.think(IDS, MASK, num_thought_tokens=0)
    assert not trace.is_thinking.any()
    assert trace.thought_ids.shape == (2, 7, 0)


def plain_toy() -> Toy:
    toy = make_toy()
    return Toy(model=QuietStarModel(toy.model.backbone, toy.model.tokenizer), stock=toy.stock)


@pytest.mark.parametrize(
    ("make", "thinking", "message"),
    [
        (make_toy, GATE, "thinking cannot be followed: the rule is a gate"),
        (make_toy, {"where": "behind", "tokens": ["nope"]}, "the vocabulary has no token 'nope'"),
        (make_toy, {"where": "behind", "tokens": [260]}, "the vocabulary has no token 260"),
        (make_toy, {"where": "often"}, "where must be one of"),
        (plain_toy, EVERYWHERE, "the model has no thought parts"),
    ],
)
def test_a_rule_that_the_model_cannot_follow_is_refused(
    make: Callable[[], Toy], thinking: Any, message: str
) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        make().model.think(IDS, MASK, num_thought_tokens=0, thinking=thinking)
    assert caught.value.param == "thinking"


def test_a_plain_model_without_a_rule_is_as_before() -> None:
    trace = plain_toy().model.think(IDS, MASK)
    assert not trace.is_thinking.any()


def test_the_gate_is_computed_in_float32() -> None:
    """Autocast would round the score, and another token would open the gate."""
    gate = ThinkingGate(4)
    with torch.no_grad():
        gate.weight.copy_(torch.tensor([[1.0, 1e-4, 0.0, 0.0]]))
        gate.bias.fill_(-1.0)
    state = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (gate.score(state.bfloat16()) > 0).tolist() == [True, False]
