"""The objective's benchmark compares like with like: three ways, the same losses and gradients."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks.objective.quadratic import (
    Cached,
    QuadraticObjective,
    Recomputed,
    StockModel,
    evaluate_quadratic,
    sees_all,
    sees_base,
    sees_newest,
)
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.objective import Objective, evaluate_objective

from ..parity.toy import Toy, make_toy
from ..parity.training.compare import ranked_choice, relative_deviation
from ..tolerances import TOY_GRADIENT

SETTINGS = ObjectiveConfig(num_talk_tokens=3, num_passes=2)
SEQ = 11


def batch() -> tuple[Tensor, Tensor]:
    ids = torch.randint(0, 256, (2, SEQ), generator=torch.Generator().manual_seed(0))
    is_real = torch.ones_like(ids)
    is_real[1, 7:] = 0
    return ids, is_real


def stock_of(toy: Toy) -> StockModel:
    model = toy.model
    return StockModel(
        backbone=toy.stock,
        parts=model.thinking_parts,
        num_thought_tokens=model.num_thought_tokens,
        delimiter_ids=model.delimiter_ids,
    )


def quantities(objective: Objective | QuadraticObjective) -> dict[str, Tensor]:
    return {
        "total": objective.total,
        "language": objective.language,
        "policy": objective.policy,
        "base losses": objective.base_losses,
        "rewards": objective.rewards,
    } | {f"talk losses {s}": losses for s, losses in enumerate(objective.talk_losses)}


@pytest.mark.parametrize("way", [Recomputed, Cached])
def test_the_paper_s_way_gives_our_losses(way: type[Recomputed] | type[Cached]) -> None:
    toy = make_toy()
    pick = ranked_choice(SETTINGS.num_passes, by_rank=True)
    ours = evaluate_objective(toy.model, *batch(), SETTINGS, pick=pick)
    theirs = evaluate_quadratic(stock_of(toy), *batch(), SETTINGS, pick=pick, way=way)
    # Otherwise the total would be the language loss alone.
    assert float(ours.policy.detach().abs().sum()) > 0
    for name, value in quantities(theirs).items():
        assert relative_deviation(quantities(ours)[name], value.detach()) <= TOY_GRADIENT, name


def gradients(*modules: nn.Module) -> dict[str, Tensor]:
    """Of every parameter, moved out: the modules' own are None after."""
    found = {}
    for module in modules:
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            found[name] = parameter.grad
        module.zero_grad()
    return found


@pytest.mark.parametrize("way", [Recomputed, Cached])
def test_the_paper_s_way_gives_our_gradients(way: type[Recomputed] | type[Cached]) -> None:
    toy = make_toy()
    toy.model.requires_grad_(True)
    toy.stock.requires_grad_(True)
    parts = toy.model.thinking_parts
    pick = ranked_choice(SETTINGS.num_passes, by_rank=True)
    total = evaluate_objective(toy.model, *batch(), SETTINGS, pick=pick).total
    total.backward()
    ours = gradients(toy.model.backbone, parts)
    total = evaluate_quadratic(stock_of(toy), *batch(), SETTINGS, pick=pick, way=way).total
    total.backward()
    theirs = gradients(toy.stock, parts)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert relative_deviation(ours[name], gradient) <= TOY_GRADIENT, name


def test_masks_let_a_thought_see_its_prefix_and_itself() -> None:
    base = sees_base(torch.tensor([[True, True, False]]))
    sees = sees_all(base, 3)[0].int().tolist()
    none = [0, 0, 0]
    assert sees[1] == [1, 1, 0, *none, *none]  # base 1
    assert sees[3 + 1] == [1, 1, 0, 0, 1, 0, *none]  # first thought token of 1
    assert sees[6 + 1] == [1, 1, 0, 0, 1, 0, 0, 1, 0]  # second
    assert sees[6 + 2] == [1, 1, 1, 0, 0, 1, 0, 0, 1]  # of padding: itself too, never nothing
    assert sees_newest(base, 3)[0].int().tolist() == sees[6:]
