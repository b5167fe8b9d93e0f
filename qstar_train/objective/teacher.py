"""A teacher: another model, whose prediction the base prediction is held to."""

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.base import base_states
from qstar_train.objective.vocabulary import divergences


def teacher_divergence(
    model: QuietStarModel,
    hidden_base: Tensor,
    teacher: QuietStarModel,
    input_ids: Tensor,
    is_real: Tensor,
) -> Tensor:
    """Mean over tokens of `KL(teacher || base)`, nats; differentiable in `hidden_base`.

    Where the two agree its gradient is 0, and not only 0 on average as that of a loss on sampled
    text: what thoughts teach the weights is not drowned in its noise.

    Args:
        hidden_base: `[rows, seq, hidden]`, of the model.
        teacher: with the model's vocabulary; nothing of it learns.
        input_ids, is_real: `[rows, seq]`.
    """
    with torch.no_grad():
        hidden_teacher = base_states(teacher, input_ids, is_real)
    found = divergences(model, hidden_base, teacher, hidden_teacher)
    return (found * is_real).sum() / is_real.sum()
