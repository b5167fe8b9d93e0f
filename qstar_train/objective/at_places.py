"""The Quiet-STaR objective where thoughts are at some positions only; the base loss is everywhere.

The passes of a place are parallel thoughts in one row, so the text before them is computed once.

Legend: rows are examples times passes, the passes of an example adjacent; places are the columns of
`Places`. A filler counts nowhere.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import Rollout, mix_states, roll_out
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.chunked_logits import (
    ThoughtToken,
    is_most_likely,
    pick_thought_token,
    teacher_divergence,
    token_losses,
)
from qstar_train.objective.gate import Gated, evaluate_gate
from qstar_train.objective.losses import advantages, mean_over
from qstar_train.objective.objective import Objective, weighted_sum
from qstar_train.objective.places import Counts, Places
from qstar_train.sampling import Pick


def evaluate_at_places(
    model: QuietStarModel,
    input_ids: Tensor,
    is_real: Tensor,
    config: ObjectiveConfig,
    *,
    places: Places,
    pick: Pick,
    counts: Counts | None = None,
    num_thought_tokens: int | None = None,
    teacher: QuietStarModel | None = None,
) -> Objective:
    """The terms of `evaluate_objective`, restricted to places. Differentiable.

    The reward of a place sums the talk tokens that its window still has.

    Args:
        input_ids: `[examples, seq]`, int64, right padded.
        is_real: `[examples, seq]`, bool, False at padding.
        places: where to think.
        pick: samples the thoughts; gets the rows in order.
        counts: what the means are over. None: what is in this batch.
        num_thought_tokens: None: the model's own length.
        teacher: the base prediction is kept close to its prediction.
    """
    if counts is None:
        counts = Counts.of(is_real, places, num_ahead=config.num_ahead)
    batch = _Batch(ids=input_ids, is_real=is_real, places=places, num_passes=config.num_passes)
    length = model.num_thought_tokens if num_thought_tokens is None else num_thought_tokens
    thoughts = _think(model, batch, config=config, pick=pick, num_thought_tokens=length)
    states = thoughts.rollout.hidden_everywhere
    base_losses = token_losses(model, states[:, :-1], input_ids[:, 1:], is_real[:, 1:])
    talk = _talk(model, batch, thoughts.rollout, base_losses, config=config)
    gated = _gated(model, batch, thoughts.rollout, talk.gains[0], counts=counts, config=config)
    divergence = base_losses.new_zeros(())
    if teacher is not None:
        divergence = teacher_divergence(model, states, teacher, input_ids, is_real)
        divergence = divergence * (is_real.sum() / counts.tokens)
    rewards = torch.stack(talk.gains).sum(0)
    terms = _terms(batch, base_losses, talk, thoughts, rewards, counts=counts, config=config)
    terms |= {
        "teacher_divergence": divergence,
        "gate": torch.zeros_like(divergence) if gated is None else gated.loss,
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
        thought_ids=batch.by_row(thoughts.rollout.thought_ids),
        is_open=None if gated is None else gated.is_open,
        is_right=talk.is_right,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The text, and its places in the two layouts.

    Thoughts are computed in `[examples, passes * places]`, and all else in `[rows, places]`, which
    is the same memory.
    """

    ids: Tensor
    is_real: Tensor
    places: Places
    num_passes: int

    @property
    def anchors(self) -> Tensor:
        """`[examples, passes * places]`."""
        return self.places.anchors.repeat(1, self.num_passes)

    @property
    def is_place(self) -> Tensor:
        """`[rows, places]`."""
        return self.places.is_place.repeat_interleave(self.num_passes, dim=0)

    def by_row(self, numbers: Tensor) -> Tensor:
        """`[examples, passes * places, ...]` to `[rows, places, ...]`."""
        num_rows = len(self.ids) * self.num_passes
        return numbers.reshape(num_rows, self.places.anchors.shape[1], *numbers.shape[2:])

    def target(self, ahead: int) -> tuple[Tensor, Tensor]:
        """The token so far after each place, and whether the window has it: `[rows, places]`."""
        where = self.places.anchors + ahead
        inside = where.clamp(max=self.ids.shape[1] - 1)
        is_counted = (where == inside) & self.is_real.gather(1, inside) & self.places.is_place
        target = (self.ids.gather(1, inside), is_counted)
        label, is_label = (each.repeat_interleave(self.num_passes, dim=0) for each in target)
        return label, is_label

    def fed(self, ahead: int) -> Tensor:
        """The token so far after each place: `[examples, passes * places]`, the last beyond it."""
        return self.ids.gather(1, self._inside(ahead))

    def states(self, everywhere: Tensor, ahead: int) -> Tensor:
        """The states there: `[batch, seq, hidden]` to `[examples, passes * places, hidden]`."""
        index = self._inside(ahead).unsqueeze(-1).expand(-1, -1, everywhere.shape[-1])
        return everywhere.gather(1, index)

    def _inside(self, ahead: int) -> Tensor:
        return (self.anchors + ahead).clamp(max=self.ids.shape[1] - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thoughts:
    """The passes' thoughts at every place; lists are in `[rows, places]`."""

    rollout: Rollout
    """`[examples, passes * places, ...]`."""
    tokens: list[ThoughtToken]
    foresight_losses: list[Tensor]
    """Entry k - 1, if requested: the loss of the true token k ahead under the distribution of
    thought token k."""


def _think(
    model: QuietStarModel,
    batch: _Batch,
    *,
    config: ObjectiveConfig,
    pick: Pick,
    num_thought_tokens: int,
) -> _Thoughts:
    anchors = batch.anchors
    tokens: list[ThoughtToken] = []
    foresight_losses: list[Tensor] = []
    num_to_foresee = config.num_foresight_tokens if config.foresight_loss_weight > 0 else 0

    def choose(hidden: Tensor, k: int) -> Tensor:
        states = batch.by_row(hidden)
        token = pick_thought_token(
            model,
            states,
            batch.by_row(anchors),
            pick,
            k,
            temperature=config.reinforce_temperature,
            with_gradient=config.policy_weight > 0,
            with_entropy=config.thought_entropy_weight > 0,
        )
        tokens.append(token)
        if k <= num_to_foresee:
            foresight_losses.append(token_losses(model, states, *batch.target(k)))
        return token.ids.view(anchors.shape)

    rollout = roll_out(
        model,
        batch.ids,
        attention_mask=batch.is_real,
        num_thought_tokens=num_thought_tokens,
        choose=choose,
        anchors=batch.places.anchors,
        copies=batch.num_passes,
    )
    return _Thoughts(rollout=rollout, tokens=tokens, foresight_losses=foresight_losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """Results of the talk tokens, `[rows, places]` each; entry s is about token p + s + 1 after the
    thought at p, and 0 where the window has no such token."""

    losses: list[Tensor]
    gains: list[Tensor]
    """Base loss less loss after the thought; detached."""
    thought_losses: list[Tensor]
    mixing_weights: list[Tensor]
    is_right: Tensor
    """Whether the token after the place is the most likely one."""


def _talk(
    model: QuietStarModel,
    batch: _Batch,
    rollout: Rollout,
    base_losses: Tensor,
    *,
    config: ObjectiveConfig,
) -> _Talk:
    """Feed the true tokens after every thought and compute the loss of each next one."""
    losses, gains, thought_losses, mixing_weights = ([] for _ in range(4))
    first = rollout.thought_ids.shape[-1] + 2
    hidden = rollout.hidden_thought
    assert hidden is not None, "the objective needs at least one thought token"
    for s in range(config.num_talk_tokens):
        if s > 0:
            attention = rollout.attention.next_pass()
            hidden = model.hidden(model.embed(batch.fed(s)), batch.anchors + first + s, attention)
        after = batch.by_row(hidden)
        base = batch.by_row(batch.states(rollout.hidden_everywhere, s))
        mixed, weight = mix_states(model, base, after)
        label, is_counted = batch.target(s + 1)
        losses.append(token_losses(model, mixed, label, is_counted))
        if s == 0:
            is_right = is_most_likely(model, mixed, label) & is_counted
        if config.thought_loss_weight > 0:
            thought_losses.append(token_losses(model, after, label, is_counted))
        gains.append(_gain(batch, base_losses, losses[s], s) * is_counted)
        mixing_weights.append(weight)
    return _Talk(
        losses=losses,
        gains=gains,
        thought_losses=thought_losses,
        mixing_weights=mixing_weights,
        is_right=is_right,
    )


def _gain(batch: _Batch, base_losses: Tensor, losses: Tensor, s: int) -> Tensor:
    """By how much the thought lowered the loss of token p + s + 1: `[rows, places]`, detached."""
    where = (batch.places.anchors + s).clamp(max=base_losses.shape[1] - 1)
    base = base_losses.gather(1, where).repeat_interleave(batch.num_passes, dim=0)
    return (base - losses).detach()


def _terms(
    batch: _Batch,
    base_losses: Tensor,
    talk: _Talk,
    thoughts: _Thoughts,
    rewards: Tensor,
    *,
    counts: Counts,
    config: ObjectiveConfig,
) -> dict[str, Tensor]:
    """The terms of the loss that are means over tokens or places."""
    # Entry k - 1: over all passes of the places that have a token k ahead.
    sizes = [count * config.num_passes for count in counts.places]
    advantage = advantages(
        rewards, num_passes=config.num_passes, drops_negative=config.drops_negative_rewards
    )
    entropies = [token.entropy * batch.is_place for token in thoughts.tokens]
    like = base_losses
    base = mean_over(base_losses, counts.predicted)
    return {
        "language": config.base_loss_weight * base
        + config.talk_loss_weight * _mean_of_means(talk.losses, sizes, like=like),
        "policy": torch.stack(
            [-mean_over(advantage * token.loglikelihood, sizes[0]) for token in thoughts.tokens]
        ),
        "thought": _mean_of_means(talk.thought_losses, sizes, like=like),
        "entropy": _mean_of_means(entropies, sizes[:1] * len(entropies), like=like),
        "foresight": _mean_of_means(thoughts.foresight_losses, sizes, like=like),
    }


def _gated(
    model: QuietStarModel,
    batch: _Batch,
    rollout: Rollout,
    gains: Tensor,
    *,
    counts: Counts,
    config: ObjectiveConfig,
) -> Gated | None:
    """What the gate decides at the places; None if it does not learn."""
    if config.gate is None:
        return None
    is_place = batch.places.is_place
    return evaluate_gate(
        model,
        rollout.hidden_base[:, : is_place.shape[1]],  # of the first pass; the others have the same
        gains.view(len(is_place), batch.num_passes, -1).mean(1),
        is_place,
        cost=config.gate.cost,
        count=counts.places[0],
    )


def _mean_of_means(losses: list[Tensor], sizes: list[float], *, like: Tensor) -> Tensor:
    """The mean of `losses[i] / sizes[i]`, each summed; 0 of none."""
    means = [mean_over(each, size) for each, size in zip(losses, sizes, strict=False)]
    return torch.stack(means).mean() if means else like.new_zeros(())
