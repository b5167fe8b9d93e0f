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

from qstar_infer.attention.parallel import ParallelThoughts
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

    def losses(states: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model.logits(states), labels, reduction="none")

    return _at_each_state(model, losses, states, labels) * is_counted


@torch.no_grad()
def is_most_likely(model: QuietStarModel, states: Tensor, labels: Tensor) -> Tensor:
    """Whether `lm_head(state)` is largest at the label, delimiters aside.

    Args:
        states: `[rows, positions, hidden]`.
        labels: `[rows, positions]`, int64.

    Returns:
        `[rows, positions]`, bool.
    """

    def hits(states: Tensor, labels: Tensor) -> Tensor:
        return model.mask_delimiters(model.logits(states)).argmax(-1) == labels

    return _at_each_state(model, hits, states, labels)


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

    def divergence(states: Tensor, teacher_states: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = teacher.logits(teacher_states).log_softmax(-1)
        logprobs = model.logits(states).log_softmax(-1)
        return F.kl_div(logprobs, wanted, reduction="none", log_target=True).sum(-1)

    found = _at_each_state(model, divergence, hidden_base, hidden_teacher)
    return (found * is_real).sum() / is_real.sum()


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


def _at_each_state(
    model: QuietStarModel,
    function: Callable[[Tensor, Tensor], Tensor],
    states: Tensor,
    others: Tensor,
) -> Tensor:
    """`function(states, others)`, a few positions at a time: `[rows, positions]`.

    Args:
        function: `[count, hidden]` and `[count, ...]` to `[count]`, each number from its own row.
        states: `[rows, positions, hidden]`.
        others: `[rows, positions, ...]`: what the function needs besides the states.
    """
    flat_states, flat_others = states.flatten(0, 1), others.flatten(0, 1)
    step = max(1, LOGITS_AT_ONCE // model.vocab_size)
    parts = []
    for first in range(0, len(flat_states), step):

        def here(states: Tensor, others: Tensor = flat_others[first : first + step]) -> Tensor:
            return function(states, others)

        parts.append(_recompute_logits(model, here, flat_states[first : first + step]))
    return torch.cat(parts).view(states.shape[:2])


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
