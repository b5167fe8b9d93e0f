"""Log-probabilities of given tokens and their slopes, in two products with the output embedding.

Autograd would make five tensors of the size of the logits, and filling new memory of that size
takes as long as half a product. Here the logits are overwritten by their softmax, and the slope of
each log-probability is computed from it at once.
"""

from typing import Any

import torch
from torch import Tensor, nn

from qstar_infer.model.quiet_star import QuietStarModel


def frozen_output_weight(model: QuietStarModel) -> Tensor | None:
    """The output embedding `[vocab, hidden]` if it is a plain layer that does not learn."""
    layer = model.backbone.lm_head
    is_plain = type(layer) is nn.Linear and layer.bias is None
    if not is_plain or layer.weight.requires_grad:
        return None
    weight: Tensor = layer.weight
    return weight


@torch.no_grad()
def logprobs_of_labels_(
    logits: Tensor, labels: Tensor, weight: Tensor, *, temperature: float = 1.0, with_slopes: bool
) -> tuple[Tensor, Tensor | None]:
    """`ln softmax(logits / temperature)[label]`, and its slope with respect to the state.

    Args:
        logits: `[count, vocab]`, float32, minus infinity where a token is not allowed. Overwritten.
        labels: `[count]`, int64.
        weight: `[vocab, hidden]`, the output embedding that made the logits.

    Returns:
        `[count]`, float32, and `[count, hidden]` in the weight's dtype, or None.
    """
    if temperature != 1:
        logits.div_(temperature)
    columns = labels.unsqueeze(1)
    chosen = logits.gather(1, columns)
    highest, where = logits.max(-1, keepdim=True)
    shares = torch.softmax(logits, -1, out=logits)
    # The share of the likeliest token is 1 over the sum; that of the chosen one may underflow.
    logprobs = (chosen - highest + shares.gather(1, where).log()).squeeze(1)
    if not with_slopes:
        return logprobs, None
    slopes = (weight[labels] - shares.to(weight.dtype) @ weight).div_(temperature)
    return logprobs, slopes


def with_slopes(states: Tensor, numbers: Tensor, slopes: Tensor | None) -> Tensor:
    """The numbers, differentiable in the states by the given slopes.

    Args:
        states: `[..., hidden]`.
        numbers: `[...]`, float32; each depends on its own state alone.
        slopes: `[..., hidden]`; None: not differentiable.
    """
    if slopes is None:
        return numbers
    attached: Tensor = _WithSlopes.apply(states, numbers, slopes)  # type: ignore[no-untyped-call]
    return attached


class _WithSlopes(torch.autograd.Function):
    """Passes the numbers on; scales the slopes in the backward pass."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, numbers: Tensor, slopes: Tensor) -> Tensor:
        del states
        ctx.save_for_backward(slopes)
        return numbers.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return (slopes * gradient.unsqueeze(-1)).to(slopes.dtype), None, None
