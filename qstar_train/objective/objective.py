"""One evaluation of the objective: think everywhere, talk, reward (paper, Algorithm 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import Choose, Rollout, mix, roll_out
from qstar_train.objective.config import ObjectiveConfig
from qstar_train.objective.losses import (
    action_loglikelihood,
    advantages,
    language_loss,
    policy_losses,
    thought_rewards,
    token_losses,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss and what it is made of. Rows are examples times passes."""

    total: Tensor
    """Scalar: `language + policy_weight * mean(policy)`."""
    language: Tensor
    """Scalar."""
    policy: Tensor
    """`[num_thought_tokens]`."""
    base_losses: Tensor
    """`[rows, seq - 1]`."""
    talk_losses: list[Tensor]
    """Entry s: `[rows, seq - 1 - s]`."""
    rewards: Tensor
    """`[rows, seq - 1 - num_talk_tokens]`, before the baseline."""
    loglikelihoods: list[Tensor]
    """For each thought token `[rows, seq]`."""
    mixing_weights: list[Tensor]
    """Entry s: `[rows, seq - s]`, of talk token s."""
    thought_ids: Tensor
    """`[rows, seq, num_thought_tokens]`."""


def evaluate_objective(
    model: QuietStarModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    config: ObjectiveConfig,
    *,
    choose: Choose,
) -> Objective:
    """The paper's loss on one batch. Differentiable.

    Args:
        input_ids: `[examples, seq]`, int64, right padded; every row longer than the talk tokens.
        attention_mask: `[examples, seq]`, 0 at padding.
        choose: samples the thoughts. Sees the rows in order, the passes of an example together.
    """
    ids = input_ids.repeat_interleave(config.num_passes, dim=0)
    is_real = attention_mask.bool().repeat_interleave(config.num_passes, dim=0)
    loglikelihoods: list[Tensor] = []

    def choose_and_note(logits: Tensor, role: int) -> Tensor:
        token_ids = choose(logits.detach(), role)
        loglikelihoods.append(
            action_loglikelihood(logits, token_ids, temperature=config.reinforce_temperature)
        )
        return token_ids

    rollout = roll_out(
        model,
        ids,
        attention_mask=is_real,
        num_thought_tokens=model.num_thought_tokens,
        choose=choose_and_note,
    )
    base_losses = token_losses(rollout.base_logits[:, :-1], ids[:, 1:], is_real[:, 1:])
    talk_losses, mixing_weights = _talk(model, rollout, ids, is_real, config.num_talk_tokens)
    rewards = thought_rewards(base_losses, talk_losses)
    advantage = advantages(
        rewards, num_passes=config.num_passes, drops_negative=config.drops_negative_rewards
    )
    policy = policy_losses(advantage, loglikelihoods)
    language = language_loss(
        base_losses,
        talk_losses,
        base_weight=config.base_loss_weight,
        talk_weight=config.talk_loss_weight,
    )
    return Objective(
        total=language + config.policy_weight * policy.mean(),
        language=language,
        policy=policy,
        base_losses=base_losses,
        talk_losses=talk_losses,
        rewards=rewards,
        loglikelihoods=loglikelihoods,
        mixing_weights=mixing_weights,
        thought_ids=rollout.thought_ids,
    )


def _talk(
    model: QuietStarModel, rollout: Rollout, ids: Tensor, is_real: Tensor, num_talk_tokens: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Losses and mixing weights of the talk tokens behind every thought.

    Talk token s of anchor p is fed the true token p + s (s = 0: the end vector was), and mixes with
    the base state of p + s to predict token p + s + 1.
    """
    rows, seq = ids.shape
    anchors = torch.arange(seq, device=ids.device).expand(rows, seq)
    first = model.num_thought_tokens + 2
    losses, weights = [], []
    hidden = rollout.hidden_thought
    assert hidden is not None, "the objective is about thoughts"
    for s in range(num_talk_tokens):
        if s > 0:
            # Past the end the last token is fed again; nothing reads what comes of it.
            forced = ids[:, (anchors[0] + s).clamp(max=seq - 1)]
            hidden = model.hidden(model.embed(forced), anchors + first + s, rollout.attention)
        mixed, weight = mix(
            model,
            rollout.hidden_base[:, s:],
            rollout.base_logits[:, s:],
            hidden[:, : seq - s],
        )
        losses.append(token_losses(mixed[:, :-1], ids[:, s + 1 :], is_real[:, s + 1 :]))
        weights.append(weight)
    return losses, weights
