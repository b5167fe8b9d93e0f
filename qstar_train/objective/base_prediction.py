"""The base prediction, which a model makes without thoughts: its losses, and a teacher's."""

import torch
from torch import Tensor

from qstar_infer.attention.parallel import ParallelThoughts
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.chunked_logits import divergences, token_losses


def base_states(model: QuietStarModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Last hidden states, without thoughts: `[examples, seq, hidden]`.

    Args:
        input_ids: `[examples, seq]`, int64, right padded.
        attention_mask: `[examples, seq]`, 0 or false at padding.
    """
    attention = ParallelThoughts(attention_mask.bool())
    return model.hidden(model.embed(input_ids), attention.everywhere, attention.next_pass())


def base_losses(model: QuietStarModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Next-token losses, without thoughts: `[examples, seq - 1]`, nats, 0 at padding.

    Args:
        input_ids, attention_mask: as for `base_states`.
    """
    hidden = base_states(model, input_ids, attention_mask)
    is_real = attention_mask.bool()
    return token_losses(model, hidden[:, :-1], input_ids[:, 1:], is_real[:, 1:])


def teacher_divergence(
    model: QuietStarModel,
    hidden_base: Tensor,
    teacher: QuietStarModel,
    input_ids: Tensor,
    is_real: Tensor,
) -> Tensor:
    """Mean over tokens of `KL(teacher || base)`, nats; differentiable in `hidden_base`.

    Where teacher and base agree its gradient is exactly 0. The gradient of a loss on sampled text
    is 0 only on average, and its noise would drown what thoughts teach the weights.

    Args:
        hidden_base: `[rows, seq, hidden]`, states of the model.
        teacher: a frozen model with the same vocabulary.
        input_ids: `[rows, seq]`, int64.
        is_real: `[rows, seq]`, bool.
    """
    with torch.no_grad():
        hidden_teacher = base_states(teacher, input_ids, is_real)
    found = divergences(model, hidden_base, teacher, hidden_teacher)
    return (found * is_real).sum() / is_real.sum()
