"""The Quiet-STaR objective on one batch: think everywhere, talk, reward (paper, Algorithm 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import Rollout, mix_states, roll_out
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.chunked_logits import (
    ThoughtToken,
    pick_thought_token,
    teacher_divergence,
    token_losses,
)
from qstar_train.objective.gate import Gated, evaluate_gate
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
    gate: Tensor
    """Scalar: the gate's loss, nats; 0 without one that learns."""
    base_losses: Tensor
    """`[rows, seq - 1]`; with places `[examples, seq - 1]`."""
    talk_losses: list[Tensor]
    """Entry s: `[rows, seq - 1 - s]`; with places `[rows, places]`."""
    thought_losses: list[Tensor]
    """The same under the thought's own logits; empty if their weight is 0."""
    rewards: Tensor
    """`[rows, seq - 1 - num_talk_tokens]` or `[rows, places]`, before the baseline."""
    loglikelihoods: list[Tensor]
    """For each thought token `[rows, seq]` or `[rows, places]`."""
    mixing_weights: list[Tensor]
    """Entry s: `[rows, seq - 1 - s]` or `[rows, places]`, of talk token s."""
    thought_ids: Tensor
    """`[rows, seq, num_thought_tokens]` or `[rows, places, num_thought_tokens]`."""
    is_open: Tensor | None
    """`[examples, seq - 1]` or `[examples, places]`, bool: where the gate, if it learns, thinks."""
    is_right: Tensor | None = None
    """Only with places: whether the mixed prediction of the next token is the true one, `[rows,
    places]`, bool."""


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
    rows = _Rows.of(input_ids, attention_mask.bool(), is_label, num_passes=config.num_passes)
    thoughts = _think(model, rows, config=config, pick=pick, num_thought_tokens=num_thought_tokens)
    states = thoughts.rollout.hidden_everywhere
    labels = (input_ids[:, 1:], rows.is_label[:, 1:])
    base_losses = rows.repeat(token_losses(model, states[:, :-1], *labels))
    talk = _talk(model, rows, thoughts.rollout, config=config)
    rewards = thought_rewards(base_losses, talk.losses)
    language = _language(base_losses, talk.losses, config=config)
    policy = _policy(rewards, thoughts.tokens, config=config)
    gated = _gated(model, rows, states, base_losses - talk.losses[0], config=config)
    thought = _mean([mean_counted(losses) for losses in talk.thought_losses], like=language)
    entropy = _mean([(t.entropy * rows.is_real).mean() for t in thoughts.tokens], like=language)
    foresight = _mean([mean_counted(each) for each in thoughts.foresight_losses], like=language)
    divergence = torch.zeros_like(language)
    if teacher is not None:
        divergence = teacher_divergence(model, states, teacher, input_ids, rows.example_is_real)
    terms = {
        "language": language,
        "policy": policy,
        "thought": thought,
        "entropy": entropy,
        "foresight": foresight,
        "teacher_divergence": divergence,
        "gate": torch.zeros_like(language) if gated is None else gated.loss,
    }
    return Objective(
        total=weighted_sum(config, **terms),
        **terms,
        base_losses=base_losses,
        talk_losses=talk.losses,
        thought_losses=talk.thought_losses,
        rewards=rewards,
        loglikelihoods=[token.loglikelihood for token in thoughts.tokens],
        mixing_weights=talk.mixing_weights,
        thought_ids=rows.of_thoughts(thoughts.rollout.thought_ids),
        is_open=None if gated is None else gated.is_open,
    )


def weighted_sum(
    config: ObjectiveConfig,
    *,
    language: Tensor,
    policy: Tensor,
    thought: Tensor,
    entropy: Tensor,
    foresight: Tensor,
    teacher_divergence: Tensor,
    gate: Tensor,
) -> Tensor:
    """The loss: the terms of `Objective` by their weights."""
    return (
        language
        + config.teacher_weight * teacher_divergence
        + config.policy_weight * policy.mean()
        + config.thought_loss_weight * thought
        + config.foresight_loss_weight * foresight
        - config.thought_entropy_weight * entropy
        + gate
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """A batch, `[examples, seq]`, and each example repeated for its passes, `[rows, seq]`.

    The passes of an example think about one text, which is computed once.
    """

    example_ids: Tensor
    """`[examples, seq]`, int64."""
    example_is_real: Tensor
    """`[examples, seq]`, bool."""
    is_label: Tensor
    """`[examples, seq]`, bool: whether the prediction of the token has a loss."""
    ids: Tensor
    """`[rows, seq]`, int64."""
    is_real: Tensor
    """`[rows, seq]`, bool."""
    is_counted: Tensor
    """`is_label` as `[rows, seq]`."""
    num_passes: int

    @staticmethod
    def of(ids: Tensor, is_real: Tensor, is_label: Tensor | None, *, num_passes: int) -> "_Rows":
        """All of it from the batch; without labels every real token has a loss."""
        labels = is_real if is_label is None else is_real & is_label
        rows = (each.repeat_interleave(num_passes, dim=0) for each in (ids, is_real, labels))
        repeated_ids, repeated_real, repeated_labels = rows
        return _Rows(
            example_ids=ids,
            example_is_real=is_real,
            is_label=labels,
            ids=repeated_ids,
            is_real=repeated_real,
            is_counted=repeated_labels,
            num_passes=num_passes,
        )

    def repeat(self, numbers: Tensor) -> Tensor:
        """`[examples, ...]` to `[rows, ...]`."""
        return numbers.repeat_interleave(self.num_passes, dim=0)

    def of_thoughts(self, numbers: Tensor) -> Tensor:
        """`[examples, passes * seq, ...]`, a thought in each column, to `[rows, seq, ...]`."""
        return numbers.reshape(*self.ids.shape, *numbers.shape[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thoughts:
    """A thought at every position."""

    rollout: Rollout
    tokens: list[ThoughtToken]
    foresight_losses: list[Tensor]
    """Entry k - 1, if requested: the loss of the true token k ahead under the distribution of
    thought token k, `[rows, seq - k]`."""


def _think(
    model: QuietStarModel,
    rows: _Rows,
    *,
    config: ObjectiveConfig,
    pick: Pick,
    num_thought_tokens: int | None,
) -> _Thoughts:
    ids = rows.ids
    anchors = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    tokens: list[ThoughtToken] = []
    foresight_losses: list[Tensor] = []
    num_to_foresee = config.num_foresight_tokens if config.foresight_loss_weight > 0 else 0

    def choose(hidden: Tensor, k: int) -> Tensor:
        states = rows.of_thoughts(hidden)
        token = pick_thought_token(
            model,
            states,
            anchors,
            pick,
            k,
            temperature=config.reinforce_temperature,
            with_gradient=config.policy_weight > 0,
            with_entropy=config.thought_entropy_weight > 0,
        )
        tokens.append(token)
        if k <= num_to_foresee and k < ids.shape[1]:
            ahead = (ids[:, k:], rows.is_counted[:, k:])
            foresight_losses.append(token_losses(model, states[:, :-k], *ahead))
        return token.ids.view(hidden.shape[:2])

    length = model.num_thought_tokens if num_thought_tokens is None else num_thought_tokens
    rollout = roll_out(
        model,
        rows.example_ids,
        attention_mask=rows.example_is_real,
        num_thought_tokens=length,
        choose=choose,
        copies=rows.num_passes,
    )
    return _Thoughts(rollout=rollout, tokens=tokens, foresight_losses=foresight_losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """Results of the talk tokens; entry s is about token p + s + 1 after the thought at p."""

    losses: list[Tensor]
    thought_losses: list[Tensor]
    mixing_weights: list[Tensor]


def _talk(
    model: QuietStarModel, rows: _Rows, rollout: Rollout, *, config: ObjectiveConfig
) -> _Talk:
    """Feed the true tokens after every thought and compute the loss of each next one.

    Talk token s of anchor p feeds the true token p + s (for s = 0 the end vector was fed), and is
    mixed with the base state of p + s to predict token p + s + 1.
    """
    ids, seq = rows.ids, rows.ids.shape[1]
    anchors = rollout.attention.anchors
    hidden_base = rows.repeat(rollout.hidden_everywhere)
    first = rollout.thought_ids.shape[-1] + 2
    talk = _Talk(losses=[], thought_losses=[], mixing_weights=[])
    hidden = rollout.hidden_thought
    assert hidden is not None, "the objective needs at least one thought token"
    for s in range(config.num_talk_tokens):
        if s > 0:
            # Past the end the last token is fed again; nothing reads the result.
            forced = rows.example_ids.gather(1, (anchors + s).clamp(max=seq - 1))
            attention = rollout.attention.next_pass()
            hidden = model.hidden(model.embed(forced), anchors + first + s, attention)
        after = rows.of_thoughts(hidden)[:, : seq - 1 - s]
        mixed, weight = mix_states(model, hidden_base[:, s : seq - 1], after)
        target = (ids[:, s + 1 :], rows.is_counted[:, s + 1 :])
        talk.losses.append(token_losses(model, mixed, *target))
        if config.thought_loss_weight > 0:
            talk.thought_losses.append(token_losses(model, after, *target))
        talk.mixing_weights.append(weight)
    return talk


def _language(base_losses: Tensor, talk_losses: list[Tensor], *, config: ObjectiveConfig) -> Tensor:
    return language_loss(
        base_losses,
        talk_losses,
        base_weight=config.base_loss_weight,
        talk_weight=config.talk_loss_weight,
    )


def _policy(rewards: Tensor, tokens: list[ThoughtToken], *, config: ObjectiveConfig) -> Tensor:
    """The REINFORCE loss of each thought token: `[num_thought_tokens]`."""
    advantage = advantages(
        rewards, num_passes=config.num_passes, drops_negative=config.drops_negative_rewards
    )
    return policy_losses(advantage, [token.loglikelihood for token in tokens])


def _gated(
    model: QuietStarModel,
    rows: _Rows,
    states: Tensor,
    gains: Tensor,
    *,
    config: ObjectiveConfig,
) -> Gated | None:
    """What the gate decides at every position with a next token; None if it does not learn."""
    if config.gate is None:
        return None
    num_passes = config.num_passes
    return evaluate_gate(
        model,
        states[:, :-1],
        gains.view(-1, num_passes, gains.shape[1]).mean(1),
        rows.is_label[:, 1:],
        cost=config.gate.cost,
    )


def _mean(terms: list[Tensor], *, like: Tensor) -> Tensor:
    """Mean of scalars; 0 for an empty list."""
    return torch.stack(terms).mean() if terms else torch.zeros_like(like)
