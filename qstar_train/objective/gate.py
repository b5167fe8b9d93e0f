"""The loss of the gate: think where a thought gains more than it costs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.losses import mean_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What the gate decides at some places."""

    loss: Tensor
    """Scalar."""
    is_open: Tensor
    """`[examples, places]`, bool: it would think there."""


def evaluate_gate(
    model: QuietStarModel,
    hidden_base: Tensor,
    gains: Tensor,
    is_place: Tensor,
    *,
    cost: float,
    count: float | None = None,
) -> Gated:
    """`-mean(sigmoid(score) * (gain - cost))`; only the gate gets a gradient.

    A gate that thinks with probability `sigmoid(score)` earns `gain - cost` there, so this is what
    it expects to lose.

    Args:
        hidden_base: `[examples, places, hidden]`.
        gains: `[examples, places]`, nats: the next token's loss without less with the thought, mean
            over the passes.
        is_place: `[examples, places]`, bool: what counts.
        cost: of a thought, nats.
        count: what the mean is over. None: the places that count.
    """
    gate = model.thinking_parts.gate
    assert gate is not None, "the model to train has no gate"
    score = gate.score(hidden_base.detach())
    earned = torch.sigmoid(score) * (gains.detach() - cost) * is_place
    return Gated(
        loss=-mean_over(earned, int(is_place.sum()) if count is None else count),
        is_open=(score > 0) & is_place,
    )
