"""Losses and choices from logits, computed for a few positions at a time.

Logits are the largest tensors of training: `positions * vocab` for every thought and talk token.
They are computed for some positions, used, and freed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.losses import action_loglikelihood, entropy
from qstar_train.sampling import Pick

LOGITS_AT_ONCE = 2**25
"""128 MiB in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtToken:
    """One sampled token at every anchor, `[rows, anchors]` each."""

    ids: Tensor
    """int64."""
    loglikelihood: Tensor
    """float32; differentiable if requested."""
    entropy: Tensor
    """float32, nats, differentiable; 0 unless requested."""


def token_losses(
    model: QuietStarModel, states: Tensor, labels: Tensor, is_counted: Tensor
) -> Tensor:
    """`-ln softmax(lm_head(state))[label]` at each position; 0 at positions that do not count.

    Args:
        states: `[rows, positions, hidden]`.
        labels: `[rows, positions]`, int64.
        is_counted: `[rows, positions]`, bool.

    Returns:
        `[rows, positions]`, float32.
    """

    flat_states, flat_labels = states.flatten(0, 1), labels.flatten()
    step = max(1, LOGITS_AT_ONCE // model.vocab_size)
    losses = []
    for first in range(0, len(flat_labels), step):
        here = slice(first, first + step)

        def losses_of(states: Tensor, labels: Tensor = flat_labels[here]) -> Tensor:
            return F.cross_entropy(model.logits(states), labels, reduction="none")

        losses.append(_recompute_logits(model, losses_of, flat_states[here]))
    return torch.cat(losses).view(labels.shape) * is_counted


def divergences(
    model: QuietStarModel, states: Tensor, teacher: QuietStarModel, teacher_states: Tensor
) -> Tensor:
    """`KL(teacher || model)` of the next token at each position, nats.

    Args:
        states: `[rows, positions, hidden]`, of the model.
        teacher_states: `[rows, positions, hidden]`, of the teacher.

    Returns:
        `[rows, positions]`, float32, differentiable in `states`.
    """
    flat_states, flat_teacher = states.flatten(0, 1), teacher_states.flatten(0, 1)
    step = max(1, LOGITS_AT_ONCE // model.vocab_size)
    found = []
    for first in range(0, len(flat_states), step):
        here = slice(first, first + step)
        with torch.no_grad():
            wanted = teacher.logits(flat_teacher[here]).log_softmax(-1)

        def divergence(states: Tensor, wanted: Tensor = wanted) -> Tensor:
            logprobs = model.logits(states).log_softmax(-1)
            return F.kl_div(logprobs, wanted, reduction="none", log_target=True).sum(-1)

        found.append(_recompute_logits(model, divergence, flat_states[here]))
    return torch.cat(found).view(states.shape[:2])


def pick_thought_token(
    model: QuietStarModel,
    states: Tensor,
    anchors: Tensor,
    pick: Pick,
    stream_index: int,
    *,
    temperature: float,
    with_gradient: bool,
    with_entropy: bool,
) -> ThoughtToken:
    """Sample the next token of every thought, and compute its log-likelihood.

    Args:
        states: `[rows, anchors, hidden]`, at the previous thought token.
        anchors: `[rows, anchors]`, int64.
        temperature: of the log-likelihood, not of sampling.
        with_gradient: whether the log-likelihood is differentiable.
    """
    parts = []
    for columns in _columns(anchors, model.vocab_size):
        here = states[:, columns]
        picked: list[Tensor] = []

        def loglikelihood(
            states: Tensor, where: Tensor = anchors[:, columns], picked: list[Tensor] = picked
        ) -> Tensor:
            logits = model.mask_delimiters(model.logits(states))
            if not picked:  # only the first time, not when run again for the gradients
                picked.append(pick(logits.detach(), stream_index, where))
            return action_loglikelihood(logits, picked[0], temperature=temperature)

        def spread(states: Tensor) -> Tensor:
            return entropy(model.mask_delimiters(model.logits(states)))

        with torch.set_grad_enabled(with_gradient and torch.is_grad_enabled()):
            loglik = _recompute_logits(model, loglikelihood, here)
        spreads = (
            _recompute_logits(model, spread, here) if with_entropy else torch.zeros_like(loglik)
        )
        parts.append((picked[0], loglik, spreads))
    ids, logliks, entropies = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
    return ThoughtToken(ids=ids, loglikelihood=logliks, entropy=entropies)


@torch.no_grad()
def pick_thought_ids(
    model: QuietStarModel, states: Tensor, anchors: Tensor, pick: Pick, stream_index: int
) -> Tensor:
    """Like `pick_thought_token`, but only the ids: `[rows, anchors]`, int64."""
    chunks = [
        pick(
            model.mask_delimiters(model.logits(states[:, columns])),
            stream_index,
            anchors[:, columns],
        )
        for columns in _columns(anchors, model.vocab_size)
    ]
    return torch.cat(chunks, dim=1)


def _columns(anchors: Tensor, vocab_size: int) -> Iterator[slice]:
    rows, count = anchors.shape
    step = max(1, LOGITS_AT_ONCE // (vocab_size * rows))
    for first in range(0, count, step):
        yield slice(first, first + step)


def _recompute_logits(
    model: QuietStarModel, function: Callable[[Tensor], Tensor], states: Tensor
) -> Tensor:
    """`function(states)`, without keeping the logits for the backward pass.

    If the output layer is frozen, only the gradients of the states are needed, and they are
    computed at once. If it learns, it is run again in the backward pass.

    Args:
        function: `[..., hidden]` to `[...]`; each number depends on its own state.
    """
    if not torch.is_grad_enabled():
        return function(states)
    if not any(parameter.requires_grad for parameter in model.backbone.lm_head.parameters()):
        return _GradientsAtOnce.apply(states, function)  # type: ignore[no-any-return,no-untyped-call]
    result: Tensor = checkpoint(function, states, use_reentrant=False, preserve_rng_state=False)
    return result


class _GradientsAtOnce(torch.autograd.Function):
    """A number for each state; computes its gradient in the forward pass and scales it later."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            leaf = states.detach().requires_grad_()
            numbers = function(leaf)
            (slopes,) = torch.autograd.grad(numbers.sum(), leaf)
        ctx.save_for_backward(slopes)
        return numbers.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return (slopes * gradient.unsqueeze(-1)).to(slopes.dtype), None
