"""The base prediction: what the model says without thoughts."""

from torch import Tensor

from qstar_infer.attention.parallel import ParallelThoughts
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.vocabulary import token_losses


def base_states(model: QuietStarModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Last hidden states of any model: `[examples, seq, hidden]`.

    Args:
        input_ids: `[examples, seq]`, int64, right padded.
        attention_mask: `[examples, seq]`, 0 or false at padding.
    """
    attention = ParallelThoughts(attention_mask.bool())
    return model.hidden(model.embed(input_ids), attention.everywhere, attention.next_pass())


def base_losses(model: QuietStarModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The next-token losses of any model: `[examples, seq - 1]`, 0 at padding.

    Args:
        input_ids, attention_mask: as for `base_states`.
    """
    hidden = base_states(model, input_ids, attention_mask)
    is_real = attention_mask.bool()
    return token_losses(model, hidden[:, :-1], input_ids[:, 1:], is_real[:, 1:])
