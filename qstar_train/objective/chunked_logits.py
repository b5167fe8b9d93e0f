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
from qstar_train.objective.label_logprobs import (
    frozen_output_weight,
    logprobs_of_labels_,
    with_slopes,
)
from qstar_train.objective.losses import action_loglikelihood, entropy
from qstar_train.sampling import Pick

LOGITS_AT_ONCE = 2**25
"""128 MiB in float32."""

KEPT_LOGITS = 2
"""Logits are kept for the backward pass if there are at most this many for each dimension of a
state."""


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

    weight = frozen_output_weight(model)

    def losses(states: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model.logits(states), labels, reduction="none")

    def losses_at_once(states: Tensor, labels: Tensor) -> Tensor:
        assert weight is not None
        needs_slopes = torch.is_grad_enabled() and states.requires_grad
        with torch.no_grad():
            logits = model.logits(states)
        found = logprobs_of_labels_(logits, labels, weight, with_slopes=needs_slopes)
        return -with_slopes(states, *found)

    if weight is None:
        return _at_each_state(model, _recomputed(model, losses), states, labels) * is_counted
    return _at_each_state(model, losses_at_once, states, labels) * is_counted


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

    found = _at_each_state(model, _recomputed(model, divergence), hidden_base, hidden_teacher)
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
    needs_gradient = with_gradient and torch.is_grad_enabled()
    parts = []
    for columns in _columns(anchors, model.vocab_size):
        here = states[:, columns]

        def pick_here(logits: Tensor, where: Tensor = anchors[:, columns]) -> Tensor:
            return pick(logits, stream_index, where)

        is_frozen = frozen_output_weight(model) is not None
        choose = _pick_at_once if is_frozen else _pick_and_recompute
        found = choose(
            model, here, pick_here, temperature=temperature, with_gradient=needs_gradient
        )

        def spread(states: Tensor) -> Tensor:
            return entropy(model.mask_delimiters(model.logits(states)))

        spreads = (
            _recompute_logits(model, spread, here) if with_entropy else torch.zeros_like(found[1])
        )
        parts.append((*found, spreads))
    ids, logliks, entropies = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
    return ThoughtToken(ids=ids, loglikelihood=logliks, entropy=entropies)


def _pick_at_once(
    model: QuietStarModel,
    states: Tensor,
    pick: Callable[[Tensor], Tensor],
    *,
    temperature: float,
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """Ids and log-likelihoods, `[rows, count]` each, with slopes computed at once."""
    weight = frozen_output_weight(model)
    assert weight is not None
    with torch.no_grad():
        logits = model.logits(states)
        if model.delimiter_ids:
            logits[..., list(model.delimiter_ids)] = float("-inf")
        ids = pick(logits)
        logliks, slopes = logprobs_of_labels_(
            logits.flatten(0, 1),
            ids.flatten(),
            weight,
            temperature=temperature,
            with_slopes=with_gradient,
        )
    flat = with_slopes(states.flatten(0, 1), logliks, slopes)
    return ids, flat.view(ids.shape)


def _pick_and_recompute(
    model: QuietStarModel,
    states: Tensor,
    pick: Callable[[Tensor], Tensor],
    *,
    temperature: float,
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """The same for an output layer that learns."""
    picked: list[Tensor] = []

    def loglikelihood(states: Tensor) -> Tensor:
        logits = model.mask_delimiters(model.logits(states))
        if not picked:  # only the first time, not when run again for the gradients
            picked.append(pick(logits.detach()))
        return action_loglikelihood(logits, picked[0], temperature=temperature)

    with torch.set_grad_enabled(with_gradient):
        loglik = _recompute_logits(model, loglikelihood, states)
    return picked[0], loglik


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
    parts = [
        function(flat_states[first : first + step], flat_others[first : first + step])
        for first in range(0, len(flat_states), step)
    ]
    return torch.cat(parts).view(states.shape[:2])


def _recomputed(
    model: QuietStarModel, function: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """The same function of states and others, which does not keep logits for the backward pass."""

    def recomputed(states: Tensor, others: Tensor) -> Tensor:
        return _recompute_logits(model, lambda states: function(states, others), states)

    return recomputed


def _columns(anchors: Tensor, vocab_size: int) -> Iterator[slice]:
    rows, count = anchors.shape
    step = max(1, LOGITS_AT_ONCE // (vocab_size * rows))
    for first in range(0, count, step):
        yield slice(first, first + step)


def _recompute_logits(
    model: QuietStarModel, function: Callable[[Tensor], Tensor], states: Tensor
) -> Tensor:
    """`function(states)`, without keeping the logits for the backward pass.

    Logits that are hardly larger than the states are kept after all: to compute them again would
    cost time and save little. If the output layer is frozen, only the gradients of the states are
    needed, and they are computed at once. If it learns, it is run again in the backward pass.

    Args:
        function: `[..., hidden]` to `[...]`; each number depends on its own state.
    """
    if not torch.is_grad_enabled() or model.vocab_size <= KEPT_LOGITS * model.hidden_size:
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
