"""Everything that makes logits, a few positions at a time.

Logits are the largest tensors of training: `positions * vocab` for every thought and talk token.
They are made for some positions, used, dropped, and made again when gradients need them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.losses import action_loglikelihood, entropy
from qstar_train.sampling import Pick

Result = TypeVar("Result", Tensor, tuple[Tensor, Tensor])

LOGITS_AT_ONCE = 2**25
"""128 MiB in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtToken:
    """One sampled token at every anchor, `[rows, anchors]` each."""

    ids: Tensor
    """int64."""
    loglikelihood: Tensor
    """float32, differentiable."""
    entropy: Tensor
    """float32, nats, differentiable; 0 where it was not asked for."""


def token_losses(
    model: QuietStarModel, states: Tensor, labels: Tensor, is_counted: Tensor
) -> Tensor:
    """`-ln softmax(lm_head(state))[label]` at each position, 0 where it is not counted.

    Args:
        states: `[rows, positions, hidden]`.
        labels: `[rows, positions]`, int64.
        is_counted: `[rows, positions]`, bool.

    Returns:
        `[rows, positions]`, float32.
    """

    def losses_of(states: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model.logits(states), labels, reduction="none")

    flat_states, flat_labels = states.flatten(0, 1), labels.flatten()
    step = max(1, LOGITS_AT_ONCE // model.vocab_size)
    losses = [
        _forgetfully(
            losses_of, flat_states[first : first + step], flat_labels[first : first + step]
        )
        for first in range(0, len(flat_labels), step)
    ]
    return torch.cat(losses).view(labels.shape) * is_counted


def pick_thought_token(
    model: QuietStarModel,
    states: Tensor,
    anchors: Tensor,
    pick: Pick,
    role: int,
    *,
    temperature: float,
    with_entropy: bool,
) -> ThoughtToken:
    """Sample the next token of every thought, and how likely it was.

    Args:
        states: `[rows, anchors, hidden]`, at the thought token before.
        anchors: `[rows, anchors]`, int64.
        temperature: of the log-likelihood, not of the sampling.
    """
    parts = []
    for columns in _columns(anchors, model.vocab_size):
        picked: list[Tensor] = []

        def measure(
            states: Tensor, anchors: Tensor, picked: list[Tensor] = picked
        ) -> tuple[Tensor, Tensor]:
            logits = model.mask_delimiters(model.logits(states))
            if not picked:  # not when it is run again for the gradients
                picked.append(pick(logits.detach(), role, anchors))
            loglik = action_loglikelihood(logits, picked[0], temperature=temperature)
            return loglik, entropy(logits) if with_entropy else torch.zeros_like(loglik)

        loglik, spread = _forgetfully(measure, states[:, columns], anchors[:, columns])
        parts.append((picked[0], loglik, spread))
    ids, logliks, spreads = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
    return ThoughtToken(ids=ids, loglikelihood=logliks, entropy=spreads)


@torch.no_grad()
def pick_thought_ids(
    model: QuietStarModel, states: Tensor, anchors: Tensor, pick: Pick, role: int
) -> Tensor:
    """As `pick_thought_token`, the ids alone: `[rows, anchors]`, int64."""
    chunks = [
        pick(model.mask_delimiters(model.logits(states[:, columns])), role, anchors[:, columns])
        for columns in _columns(anchors, model.vocab_size)
    ]
    return torch.cat(chunks, dim=1)


def _columns(anchors: Tensor, vocab_size: int) -> Iterator[slice]:
    rows, count = anchors.shape
    step = max(1, LOGITS_AT_ONCE // (vocab_size * rows))
    for first in range(0, count, step):
        yield slice(first, first + step)


def _forgetfully(function: Callable[..., Result], *inputs: Tensor) -> Result:
    """Call without keeping what the gradients can make again."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    result: Result = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result
