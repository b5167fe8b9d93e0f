"""The Quiet-STaR objective on one batch: think everywhere, talk, reward (paper, Algorithm 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import Rollout, mix_states, roll_out
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.base_prediction import teacher_divergence
from qstar_train.objective.chunked_logits import ThoughtToken, pick_thought_token, token_losses
from qstar_train.objective.losses import (
    advantages,
    language_loss,
    mean_counted,
    policy_losses,
    thought_rewards,
)
from qstar_train.sampling import Pick


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss and its parts. Rows are examples times passes."""

    total: Tensor
    """Scalar: the weighted sum of the following terms."""
    language: Tensor
    """Scalar."""
    policy: Tensor
    """`[num_thought_tokens]`."""
    thought: Tensor
    """Scalar: the talk tokens' loss under the thought's own logits; 0 if its weight is 0."""
    entropy: Tensor
    """Scalar: mean entropy of the thought tokens' distributions, nats; 0 if its weight is 0."""
    foresight: Tensor
    """Scalar: the loss of the true tokens ahead under the thought tokens' distributions; 0 if its
    weight is 0."""
    teacher_divergence: Tensor
    """Scalar: KL(teacher || base prediction), nats; 0 without a teacher."""
    base_losses: Tensor
    """`[rows, seq - 1]`."""
    talk_losses: list[Tensor]
    """Entry s: `[rows, seq - 1 - s]`."""
    rewards: Tensor
    """`[rows, seq - 1 - num_talk_tokens]`, before the baseline."""
    loglikelihoods: list[Tensor]
    """For each thought token `[rows, seq]`."""
    mixing_weights: list[Tensor]
    """Entry s: `[rows, seq - 1 - s]`, of talk token s."""
    thought_ids: Tensor
    """`[rows, seq, num_thought_tokens]`."""


def evaluate_objective(
    model: QuietStarModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    config: ObjectiveConfig,
    *,
    pick: Pick,
    num_thought_tokens: int | None = None,
    teacher: QuietStarModel | None = None,
    is_label: Tensor | None = None,
) -> Objective:
    """The paper's loss on one batch. Differentiable.

    Args:
        input_ids: `[examples, seq]`, int64, right padded; every row longer than the talk tokens.
        attention_mask: `[examples, seq]`, 0 at padding.
        pick: samples the thoughts. Gets the rows in order, the passes of an example together.
        num_thought_tokens: None: the model's own length.
        teacher: the base prediction is kept close to its prediction.
        is_label: `[examples, seq]`, bool: the real tokens whose prediction has a loss. None: all
            of them, as in training, where an eos ends a document and is learned.
    """
    ids = input_ids.repeat_interleave(config.num_passes, dim=0)
    is_real = attention_mask.bool().repeat_interleave(config.num_passes, dim=0)
    is_counted = is_real
    if is_label is not None:
        is_counted = is_real & is_label.repeat_interleave(config.num_passes, dim=0)
    length = model.num_thought_tokens if num_thought_tokens is None else num_thought_tokens
    rollout, tokens, foresight_losses = _think(
        model, ids, is_real, is_counted, config, pick, length
    )
    base_losses = token_losses(model, rollout.hidden_base[:, :-1], ids[:, 1:], is_counted[:, 1:])
    talk = _talk(model, rollout, ids, is_counted, config)
    rewards = thought_rewards(base_losses, talk.losses)
    advantage = advantages(
        rewards, num_passes=config.num_passes, drops_negative=config.drops_negative_rewards
    )
    policy = policy_losses(advantage, [token.loglikelihood for token in tokens])
    language = language_loss(
        base_losses,
        talk.losses,
        base_weight=config.base_loss_weight,
        talk_weight=config.talk_loss_weight,
    )
    thought = _mean([mean_counted(losses) for losses in talk.thought_losses], like=language)
    entropy = _mean([(token.entropy * is_real).mean() for token in tokens], like=language)
    foresight = _mean([mean_counted(losses) for losses in foresight_losses], like=language)
    divergence = torch.zeros_like(language)
    if teacher is not None:
        # One pass of each example; the other passes have the same base states.
        hidden_base = rollout.hidden_base[:: config.num_passes]
        mask = attention_mask.bool()
        divergence = teacher_divergence(model, hidden_base, teacher, input_ids, mask)
    return Objective(
        total=language
        + config.teacher_weight * divergence
        + config.policy_weight * policy.mean()
        + config.thought_loss_weight * thought
        + config.foresight_loss_weight * foresight
        - config.thought_entropy_weight * entropy,
        language=language,
        policy=policy,
        thought=thought,
        entropy=entropy,
        foresight=foresight,
        teacher_divergence=divergence,
        base_losses=base_losses,
        talk_losses=talk.losses,
        rewards=rewards,
        loglikelihoods=[token.loglikelihood for token in tokens],
        mixing_weights=talk.mixing_weights,
        thought_ids=rollout.thought_ids,
    )


def _think(
    model: QuietStarModel,
    ids: Tensor,
    is_real: Tensor,
    is_counted: Tensor,
    config: ObjectiveConfig,
    pick: Pick,
    num_thought_tokens: int,
) -> tuple[Rollout, list[ThoughtToken], list[Tensor]]:
    """Generate a thought at every position.

    Returns:
        The thoughts; the log-likelihoods of their tokens; and, for each thought token k with a
        foresight loss, the loss of the true token k ahead under its distribution,
        `[rows, seq - k]`.
    """
    anchors = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    tokens: list[ThoughtToken] = []
    foresight_losses: list[Tensor] = []

    def choose(hidden: Tensor, stream_index: int) -> Tensor:
        token = pick_thought_token(
            model,
            hidden,
            anchors,
            pick,
            stream_index,
            temperature=config.reinforce_temperature,
            with_gradient=config.policy_weight > 0,
            with_entropy=config.thought_entropy_weight > 0,
        )
        tokens.append(token)
        is_to_foresee = (
            config.foresight_loss_weight > 0 and stream_index <= config.num_foresight_tokens
        )
        if is_to_foresee and stream_index < ids.shape[1]:
            ahead = (ids[:, stream_index:], is_counted[:, stream_index:])
            foresight_losses.append(token_losses(model, hidden[:, :-stream_index], *ahead))
        return token.ids

    rollout = roll_out(
        model,
        ids,
        attention_mask=is_real,
        num_thought_tokens=num_thought_tokens,
        choose=choose,
    )
    return rollout, tokens, foresight_losses


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """Results of the talk tokens; entry s is about token p + s + 1 after the thought at p."""

    losses: list[Tensor]
    thought_losses: list[Tensor]
    mixing_weights: list[Tensor]


def _talk(
    model: QuietStarModel,
    rollout: Rollout,
    ids: Tensor,
    is_counted: Tensor,
    config: ObjectiveConfig,
) -> _Talk:
    """Feed the true tokens after every thought and compute the loss of each next one.

    Talk token s of anchor p feeds the true token p + s (for s = 0 the end vector was fed), and is
    mixed with the base state of p + s to predict token p + s + 1.
    """
    rows, seq = ids.shape
    anchors = torch.arange(seq, device=ids.device).expand(rows, seq)
    first = rollout.thought_ids.shape[-1] + 2
    talk = _Talk(losses=[], thought_losses=[], mixing_weights=[])
    hidden = rollout.hidden_thought
    assert hidden is not None, "the objective needs at least one thought token"
    for s in range(config.num_talk_tokens):
        if s > 0:
            # Past the end the last token is fed again; nothing reads the result.
            forced = ids[:, (anchors[0] + s).clamp(max=seq - 1)]
            attention = rollout.attention.next_pass()
            hidden = model.hidden(model.embed(forced), anchors + first + s, attention)
        after = hidden[:, : seq - 1 - s]
        mixed, weight = mix_states(model, rollout.hidden_base[:, s : seq - 1], after)
        target = (ids[:, s + 1 :], is_counted[:, s + 1 :])
        talk.losses.append(token_losses(model, mixed, *target))
        if config.thought_loss_weight > 0:
            talk.thought_losses.append(token_losses(model, after, *target))
        talk.mixing_weights.append(weight)
    return talk


def _mean(terms: list[Tensor], *, like: Tensor) -> Tensor:
    """Mean of scalars; 0 for an empty list."""
    return torch.stack(terms).mean() if terms else torch.zeros_like(like)
