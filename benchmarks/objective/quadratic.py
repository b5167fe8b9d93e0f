"""The baseline: the paper's objective through a stock backbone and dense attention masks.

There are two ways to compute the states of a thought at every position. `Recomputed`: each step
feeds the base tokens and all thought tokens so far again, `seq * (k + 1)` rows with a mask of as
many rows and columns. `Cached`, as in the paper's training code: keys and values of earlier steps
are kept and concatenated, and the newest `seq` rows see them through a mask `[seq, seq * (k + 1)]`.
Both keep all logits. The comparison is fair: both compute logits only of the newest rows, and
attention is torch's fused kernel, which stores no scores. The terms of the loss are ours, so that
only the computation of the states differs.

Legend: rows are examples times passes; block 0 is the base tokens, block k the k-th token of every
thought. For backbones with full attention (no sliding window).
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from qstar_infer.model.thought_parts import ThoughtParts
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.losses import (
    action_loglikelihood,
    advantages,
    language_loss,
    policy_losses,
    thought_rewards,
)
from qstar_train.sampling import Pick


@dataclass(frozen=True, slots=True, kw_only=True)
class StockModel:
    """A backbone with the attention of transformers, and the thought parts."""

    backbone: PreTrainedModel
    parts: ThoughtParts
    num_thought_tokens: int
    delimiter_ids: tuple[int, ...]

    def embed(self, token_ids: Tensor) -> Tensor:
        rows: Tensor = self.backbone.get_input_embeddings()(token_ids)
        return rows

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.backbone.lm_head(hidden)
        return logits.float()

    def thought_logits(self, hidden: Tensor) -> Tensor:
        """Logits of thought tokens, which cannot be delimiters."""
        masked = self.logits(hidden).clone()
        masked[..., list(self.delimiter_ids)] = float("-inf")
        return masked


@dataclass(frozen=True, slots=True, kw_only=True)
class QuadraticObjective:
    """The fields of `Objective` that the comparison needs, with the same shapes."""

    total: Tensor
    language: Tensor
    policy: Tensor
    base_losses: Tensor
    talk_losses: list[Tensor]
    rewards: Tensor


class Feeder(Protocol):
    """A way to compute states."""

    def feed(self, embeddings: Tensor) -> Tensor:
        """Last-layer states of the next block; input and output are `[rows, seq, hidden]`."""
        ...


class Recomputed:
    """Feeds all blocks again with every new block."""

    def __init__(self, backbone: PreTrainedModel, is_real: Tensor) -> None:
        self._backbone = backbone
        self._base = sees_base(is_real)
        self._blocks: list[Tensor] = []

    def feed(self, embeddings: Tensor) -> Tensor:
        self._blocks.append(embeddings)
        rows, seq, _ = embeddings.shape
        count = len(self._blocks)
        positions = torch.cat([torch.arange(seq) + block for block in range(count)])
        output = self._backbone.base_model(
            inputs_embeds=torch.cat(self._blocks, dim=1),
            position_ids=positions.expand(rows, -1),
            attention_mask=additive(sees_all(self._base, count)),
            use_cache=False,
        )
        states: Tensor = output.last_hidden_state[:, -seq:]
        return states


class Cached:
    """Feeds only the new block; keys and values of the earlier blocks are concatenated."""

    def __init__(self, backbone: PreTrainedModel, is_real: Tensor) -> None:
        self._backbone = backbone
        self._base = sees_base(is_real)
        self._cache = DynamicCache()
        self._count = 0

    def feed(self, embeddings: Tensor) -> Tensor:
        rows, seq, _ = embeddings.shape
        positions = torch.arange(seq) + self._count
        self._count += 1
        output = self._backbone.base_model(
            inputs_embeds=embeddings,
            position_ids=positions.expand(rows, -1),
            attention_mask=additive(sees_newest(self._base, self._count)),
            use_cache=True,
            **{_cache_argument(self._backbone.base_model): self._cache},
        )
        states: Tensor = output.last_hidden_state
        return states


def sees_base(is_real: Tensor) -> Tensor:
    """Which base tokens each position sees: `[rows, seq, seq]`, bool."""
    seq = is_real.shape[1]
    causal = torch.ones(seq, seq, dtype=torch.bool).tril()
    # A padded row sees itself, because a softmax over no keys would be NaN.
    return (causal & is_real[:, None, :]) | torch.eye(seq, dtype=torch.bool)


def sees_newest(base: Tensor, count: int) -> Tensor:
    """What the last of `count` blocks sees: `[rows, seq, count * seq]`, bool."""
    rows, seq, _ = base.shape
    own = torch.eye(seq, dtype=torch.bool).repeat(1, count - 1).expand(rows, -1, -1)
    return torch.cat([base, own], dim=-1)


def sees_all(base: Tensor, count: int) -> Tensor:
    """What all of `count` blocks see: `[rows, count * seq, count * seq]`, bool."""
    seq = base.shape[-1]
    blocks = [
        F.pad(sees_newest(base, block), (0, (count - block) * seq)) for block in range(1, count + 1)
    ]
    return torch.cat(blocks, dim=1)


def additive(sees: Tensor) -> Tensor:
    """Convert a bool mask `[rows, queries, keys]` to one to add to scores, with a head axis."""
    return torch.zeros(sees.shape).masked_fill(~sees, float("-inf"))[:, None]


def evaluate_quadratic(
    model: StockModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    settings: ObjectiveConfig,
    *,
    pick: Pick,
    way: type[Recomputed] | type[Cached],
) -> QuadraticObjective:
    """The same as `evaluate_objective`, with the same arguments. Differentiable."""
    ids = input_ids.repeat_interleave(settings.num_passes, dim=0)
    is_real = attention_mask.bool().repeat_interleave(settings.num_passes, dim=0)
    feeder = way(model.backbone, is_real)
    hidden_base = feeder.feed(model.embed(ids))
    base_logits = model.logits(hidden_base)
    base_losses = token_losses(base_logits[:, :-1], ids[:, 1:], is_real[:, 1:])
    hidden_thought, loglikelihoods = _think(model, feeder, ids, settings, pick)
    talk_losses = list(_talk(model, feeder, ids, is_real, hidden_base, hidden_thought, settings))
    rewards = thought_rewards(base_losses, talk_losses)
    advantage = advantages(
        rewards, num_passes=settings.num_passes, drops_negative=settings.drops_negative_rewards
    )
    policy = policy_losses(advantage, loglikelihoods)
    language = language_loss(
        base_losses,
        talk_losses,
        base_weight=settings.base_loss_weight,
        talk_weight=settings.talk_loss_weight,
    )
    return QuadraticObjective(
        total=language + settings.policy_weight * policy.mean(),
        language=language,
        policy=policy,
        base_losses=base_losses,
        talk_losses=talk_losses,
        rewards=rewards,
    )


def token_losses(logits: Tensor, labels: Tensor, is_counted: Tensor) -> Tensor:
    """`-ln p(label)`, 0 if not counted: `[rows, positions, vocab]` to `[rows, positions]`."""
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape) * is_counted


def _think(
    model: StockModel, feeder: Feeder, ids: Tensor, settings: ObjectiveConfig, pick: Pick
) -> tuple[Tensor, list[Tensor]]:
    """State at the end vector, and the log-likelihood of each thought token, `[rows, seq]`."""
    rows, seq = ids.shape
    anchors = torch.arange(seq).expand(rows, seq)
    loglikelihoods = []
    fed = model.parts.start_thought.expand(rows, seq, -1)
    for stream_index in range(1, model.num_thought_tokens + 1):
        logits = model.thought_logits(feeder.feed(fed))
        token_ids = pick(logits.detach(), stream_index, anchors)
        loglikelihoods.append(
            action_loglikelihood(logits, token_ids, temperature=settings.reinforce_temperature)
        )
        fed = model.embed(token_ids)
    feeder.feed(fed)
    return feeder.feed(model.parts.end_thought.expand(rows, seq, -1)), loglikelihoods


def _talk(
    model: StockModel,
    feeder: Feeder,
    ids: Tensor,
    is_real: Tensor,
    hidden_base: Tensor,
    hidden_thought: Tensor,
    settings: ObjectiveConfig,
) -> Iterator[Tensor]:
    """Losses of talk token s after every thought, `[rows, seq - 1 - s]`."""
    seq = ids.shape[1]
    hidden = hidden_thought
    for s in range(settings.num_talk_tokens):
        if s > 0:
            hidden = feeder.feed(model.embed(ids[:, (torch.arange(seq) + s).clamp(max=seq - 1)]))
        base, thought = hidden_base[:, s:], hidden[:, : seq - s]
        weight = model.parts.talk_head.mixing_weight(base, thought).unsqueeze(-1)
        mixed = model.logits((1 - weight) * base + weight * thought)
        yield token_losses(mixed[:, :-1], ids[:, s + 1 :], is_real[:, s + 1 :])


def _cache_argument(backbone: nn.Module) -> str:
    """Name of the cache argument. transformers 5.24 renamed it and warns about the old name."""
    accepted = inspect.signature(backbone.forward).parameters
    return "cache" if "cache" in accepted else "past_key_values"
