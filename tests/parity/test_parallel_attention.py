"""The oracle computes attention and logits in chunks; the chunks must not change the result."""

import pytest
import torch
from torch import Tensor

from qstar_infer.attention import parallel
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import roll_out
from qstar_train.config import ObjectiveConfig
from qstar_train.objective import chunked_logits
from qstar_train.objective.objective import evaluate_objective

from ..device import DEVICE
from ..tolerances import TOY_GRADIENT, TOY_LOGITS
from .toy import ARCHITECTURES, make_toy
from .training.compare import ranked_choice, relative_deviation


def batch() -> tuple[Tensor, Tensor]:
    """Two rows of 11 tokens, the second padded after 7."""
    ids = torch.randint(0, 256, (2, 11), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return ids.to(DEVICE), mask.to(DEVICE)


def assert_close(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=0, atol=TOY_LOGITS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attention_in_chunks_equals_attention_at_once(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_toy(architecture).model
    ids, mask = batch()
    want = model.think(ids, mask)
    monkeypatch.setattr(parallel, "QUERIES_AT_ONCE", 3)
    got = model.think(ids, mask)
    assert torch.equal(got.thought_ids[mask.bool()], want.thought_ids[mask.bool()])
    assert_close(got.logits[mask.bool()], want.logits[mask.bool()])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_thoughts_at_chosen_anchors_equal_thoughts_at_all_positions(architecture: str) -> None:
    model = make_toy(architecture).model
    ids, mask = batch()
    anchors = torch.tensor([[10, 0, 4], [6, 3, 3]], device=DEVICE)

    def greedy(hidden: Tensor, role: int) -> Tensor:
        del role
        return model.mask_delimiters(model.logits(hidden)).argmax(-1)

    with torch.no_grad():
        everywhere, chosen = (
            roll_out(
                model,
                ids,
                attention_mask=mask.bool(),
                num_thought_tokens=3,
                choose=greedy,
                anchors=where,
            )
            for where in (None, anchors)
        )
    rows = torch.arange(2)[:, None]
    assert torch.equal(chosen.thought_ids, everywhere.thought_ids[rows, anchors])
    assert_close(chosen.hidden_base, everywhere.hidden_base[rows, anchors])
    assert chosen.hidden_thought is not None
    assert everywhere.hidden_thought is not None
    assert_close(chosen.hidden_thought, everywhere.hidden_thought[rows, anchors])


def gradients(model: QuietStarModel) -> dict[str, Tensor]:
    ids, mask = batch()
    settings = ObjectiveConfig(num_talk_tokens=2, thought_loss_weight=0.5)
    model.zero_grad()
    pick = ranked_choice(2, by_rank=True)
    evaluate_objective(model, ids, mask, settings, pick=pick).total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("learns_head", [True, False])
def test_chunked_computation_has_the_same_gradients(
    learns_head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_toy("mistral").model.requires_grad_(True)
    model.backbone.lm_head.requires_grad_(learns_head)
    want = gradients(model)
    monkeypatch.setattr(parallel, "QUERIES_AT_ONCE", 4)
    monkeypatch.setattr(chunked_logits, "LOGITS_AT_ONCE", 260 * 9)
    got = gradients(model)
    assert set(got) == set(want)
    for name, gradient in got.items():
        assert relative_deviation(gradient, want[name]) < TOY_GRADIENT, name
