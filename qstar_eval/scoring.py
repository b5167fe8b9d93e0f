"""Losses and logits with thoughts, no gradients: what the evaluator asks of the oracle."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import Rollout, mix_states, roll_out
from qstar_train.objective.chunked_logits import pick_thought_ids, token_losses
from qstar_train.sampling import ordinary_ids, random_thoughts, sampled_thoughts

ThoughtKind = Literal["sampled", "random"]
"""`random` puts uniformly random tokens in a thought's place: the control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """One way of thinking."""

    num_thought_tokens: int
    """0: no thoughts; mixed is base then."""
    kind: ThoughtKind = "sampled"
    temperature: float = 1.0
    """Of sampled thoughts; 0 is greedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScores:
    """Column p is about the prediction of token p + 1. On the CPU; float32; 0 at padding."""

    base_losses: Tensor
    """`[batch, seq - 1]`, nats."""
    mixed_losses: Tensor
    """`[batch, seq - 1]`, nats."""
    mixing_weights: Tensor
    """`[batch, seq - 1]`."""
    thought_ids: Tensor
    """`[batch, seq - 1, num_thought_tokens]`, int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorScores:
    """Next-token logits at chosen anchors. On the CPU, float32, delimiters at minus infinity."""

    base_logits: Tensor
    """`[batch, anchors, vocab]`."""
    logits: Tensor
    """`[batch, anchors, vocab]`, mixed."""


@torch.no_grad()
def score_text(
    model: QuietStarModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    *,
    seeds: Tensor,
    thinking: Thinking,
) -> TextScores:
    """Every token's loss with and without thoughts.

    Args:
        input_ids: `[batch, seq]`, int64, right padded, seq at least 2.
        attention_mask: `[batch, seq]`, 0 at padding.
        seeds: `[batch]`, int64, of each row's noise: a row's result does not depend on its mates.

    Raises:
        RequestError: the batch makes no sense, or the model cannot think and should.
    """
    is_real = model.check_batch(input_ids, attention_mask, thinking.num_thought_tokens)
    ids, is_real = input_ids.to(model.device), is_real.to(model.device)
    # The last token predicts nothing that is known: no thought there.
    anchors = torch.arange(ids.shape[1] - 1, device=ids.device).expand(ids.shape[0], -1)
    rollout = _roll_out(model, ids, is_real, anchors, seeds, thinking)
    target = (ids[:, 1:], is_real[:, 1:])
    base_losses = token_losses(model, rollout.hidden_base, *target)
    mixed_losses, weights = base_losses, torch.zeros_like(base_losses)
    if rollout.hidden_thought is not None:
        mixed, weights = mix_states(model, rollout.hidden_base, rollout.hidden_thought)
        mixed_losses = token_losses(model, mixed, *target)
    return TextScores(
        base_losses=base_losses.cpu(),
        mixed_losses=mixed_losses.cpu(),
        mixing_weights=(weights * is_real[:, 1:]).cpu(),
        thought_ids=(rollout.thought_ids * is_real[:, 1:, None]).cpu(),
    )


@torch.no_grad()
def score_anchors(
    model: QuietStarModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    *,
    anchors: Tensor,
    seeds: Tensor,
    thinking: Thinking,
) -> AnchorScores:
    """Next-token logits at a few anchors of each row; thinks at those only.

    Args:
        input_ids, attention_mask, seeds: as for `score_text`.
        anchors: `[batch, anchors]`, int64, indices of real tokens.

    Raises:
        RequestError: as `score_text`.
    """
    is_real = model.check_batch(input_ids, attention_mask, thinking.num_thought_tokens)
    ids, is_real = input_ids.to(model.device), is_real.to(model.device)
    rollout = _roll_out(model, ids, is_real, anchors.to(model.device), seeds, thinking)
    base_logits = model.mask_delimiters(model.logits(rollout.hidden_base))
    logits = base_logits
    if rollout.hidden_thought is not None:
        mixed, _ = mix_states(model, rollout.hidden_base, rollout.hidden_thought)
        logits = model.mask_delimiters(model.logits(mixed))
    return AnchorScores(base_logits=base_logits.cpu(), logits=logits.cpu())


def _roll_out(
    model: QuietStarModel,
    ids: Tensor,
    is_real: Tensor,
    anchors: Tensor,
    seeds: Tensor,
    thinking: Thinking,
) -> Rollout:
    seeds = seeds.to(model.device)
    pick = (
        sampled_thoughts(seeds, temperature=thinking.temperature)
        if thinking.kind == "sampled"
        else random_thoughts(seeds, ordinary_ids(model))
    )

    def choose(hidden: Tensor, role: int) -> Tensor:
        return pick_thought_ids(model, hidden, anchors, pick, role)

    return roll_out(
        model,
        ids,
        attention_mask=is_real,
        num_thought_tokens=thinking.num_thought_tokens,
        choose=choose,
        anchors=anchors,
    )
