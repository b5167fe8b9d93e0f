"""The metrics of a step, and the thoughts that a person may read of it."""

import torch
from torch import Tensor

from qstar_train.config import TrainConfig
from qstar_train.objective.losses import mean_counted, mean_over
from qstar_train.objective.objective import Objective
from qstar_train.objective.places import Counts, Places

METRICS = (
    "total_loss",
    "base_loss",
    "mixed_loss",
    "talk_loss",
    "thought_loss",
    "policy_loss",
    "reward",
    "mixing_weight",
    "thought_loglikelihood",
    "thought_entropy",
    "foresight_loss",
    "teacher_divergence",
)
"""Scalars of every step, means over the windows that are thought about."""

NUM_SAMPLED_WINDOWS = 3
"""With places, thoughts of the first windows that have one at a marked place are shown."""

_LOSSES_WITHOUT_THOUGHTS = ("total_loss", "base_loss", "mixed_loss")


def metric_names(config: TrainConfig) -> tuple[str, ...]:
    """The metrics of a run.

    With places, what is measured at a position is a mean over those behind the tokens that
    `places.behind` names (over all places, if it names none): `base_loss`, `mixed_loss`,
    `talk_loss`, `thought_loss`, `reward`, `mixing_weight` and `thought_loglikelihood`. The other
    terms are as they enter the loss. `text_loss` is the base loss over all positions,
    `answer_accuracy` the share of these places where the most likely next token is the true one.
    """
    objective, names = config.objective, METRICS
    if objective.places is not None:
        names += ("text_loss", "answer_accuracy")
    if objective.gate is not None and not config.trains_without_thoughts:
        names += ("gate_loss", "gate_share")
        if objective.places is not None and objective.places.behind:
            names += ("gate_share_elsewhere",)
    return names


@torch.no_grad()
def metrics_everywhere(objective: Objective) -> dict[str, Tensor]:
    """The metrics of thoughts at every position."""
    talk = torch.stack([mean_counted(losses) for losses in objective.talk_losses]).mean()
    found = _terms(objective) | {
        "base_loss": mean_counted(objective.base_losses),
        "mixed_loss": mean_counted(objective.talk_losses[0]),
        "talk_loss": talk,
        "thought_loss": objective.thought.detach(),
        "reward": objective.rewards.mean(),
        "mixing_weight": objective.mixing_weights[0].mean(),
        "thought_loglikelihood": torch.stack(objective.loglikelihoods).mean(),
    }
    if objective.is_open is not None:
        found["gate_share"] = objective.is_open.float().mean()
    return found


@torch.no_grad()
def metrics_at_places(objective: Objective, places: Places, counts: Counts) -> dict[str, Tensor]:
    """The metrics at the marked places."""
    num_passes = len(objective.rewards) // len(places.anchors)
    is_marked = places.is_marked.repeat_interleave(num_passes, dim=0)
    sizes = [count * num_passes for count in counts.marked]

    def mean(numbers: Tensor, ahead: int = 1) -> Tensor:
        return mean_over(numbers * is_marked, sizes[ahead - 1])

    def mean_of(losses: list[Tensor]) -> Tensor:
        means = [mean(each, ahead) for ahead, each in enumerate(losses, start=1)]
        return torch.stack(means).mean() if means else torch.zeros_like(objective.total)

    assert objective.is_right is not None
    found = _terms(objective) | {
        "base_loss": _mean_behind(objective.base_losses, places, counts),
        "mixed_loss": mean(objective.talk_losses[0]),
        "talk_loss": mean_of(objective.talk_losses),
        "thought_loss": mean_of(objective.thought_losses),
        "reward": mean(objective.rewards),
        "mixing_weight": mean(objective.mixing_weights[0]),
        "thought_loglikelihood": mean(torch.stack(objective.loglikelihoods).mean(0)),
        "text_loss": mean_over(objective.base_losses, counts.predicted),
        "answer_accuracy": mean(objective.is_right),
    }
    if objective.is_open is not None:
        is_elsewhere = places.is_place & ~places.is_marked
        found["gate_share"] = mean_over(objective.is_open * places.is_marked, counts.marked[0])
        found["gate_share_elsewhere"] = mean_over(
            objective.is_open * is_elsewhere, counts.places[0] - counts.marked[0]
        )
    return found


@torch.no_grad()
def metrics_without_thoughts(
    loss: Tensor,
    losses: Tensor,
    *,
    is_right: Tensor | None,
    places: Places | None,
    counts: Counts | None,
) -> dict[str, Tensor]:
    """The metrics of a model that cannot think.

    Args:
        loss: the mean of `losses`.
        losses: `[examples, seq - 1]`.
        is_right: `[examples, seq - 1]`: whether the next token is the most likely one; None if
            that is not measured.
        places: where to measure. None: everywhere.
        counts: what the means are over; None without places.
    """
    zero = torch.zeros_like(loss)
    found = dict.fromkeys(METRICS, zero) | dict.fromkeys(_LOSSES_WITHOUT_THOUGHTS, loss.detach())
    if places is None or counts is None:
        return found
    found["text_loss"] = loss.detach()
    found["base_loss"] = found["mixed_loss"] = _mean_behind(losses, places, counts)
    if is_right is not None:
        found["answer_accuracy"] = _mean_behind(is_right, places, counts)
    return found


@torch.no_grad()
def samples_everywhere(objective: Objective) -> dict[str, Tensor]:
    """The first pass's thoughts in the first window: see `samples_at_places`."""
    gains = (objective.base_losses[0] - objective.talk_losses[0][0]).detach()
    anchors = torch.arange(len(gains), device=gains.device)
    return {
        "sample_windows": torch.zeros_like(anchors),
        "sample_anchors": anchors,
        "thought_ids": objective.thought_ids[0, : len(gains)],
        "gains": gains,
        "mixing_weights": objective.mixing_weights[0][0].detach(),
    }


@torch.no_grad()
def samples_at_places(objective: Objective, places: Places) -> dict[str, Tensor]:
    """The first pass's thoughts at the marked places of the first windows that have some.

    Returns:
        For each: its window in the batch, its anchor, `thought_ids` `[samples, n]`, `gains` (base
        less mixed loss, nats) and `mixing_weights`, `[samples]`.
    """
    num_passes = len(objective.rewards) // len(places.anchors)
    chosen = places.is_marked.any(1).nonzero().flatten()[:NUM_SAMPLED_WINDOWS]
    number, column = places.is_marked[chosen].nonzero().unbind(1)
    window = chosen[number]
    row, anchor = window * num_passes, places.anchors[window, column]
    gains = objective.base_losses[window, anchor] - objective.talk_losses[0][row, column]
    return {
        "sample_windows": window,
        "sample_anchors": anchor,
        "thought_ids": objective.thought_ids[row, column],
        "gains": gains.detach(),
        "mixing_weights": objective.mixing_weights[0][row, column].detach(),
    }


def _terms(objective: Objective) -> dict[str, Tensor]:
    """The terms as they enter the loss."""
    terms = {
        "total_loss": objective.total,
        "policy_loss": objective.policy.mean(),
        "thought_entropy": objective.entropy,
        "foresight_loss": objective.foresight,
        "teacher_divergence": objective.teacher_divergence,
        "gate_loss": objective.gate,
    }
    return {name: value.detach() for name, value in terms.items()}


def _mean_behind(numbers: Tensor, places: Places, counts: Counts) -> Tensor:
    """The mean at the marked places of numbers at all positions, `[examples, seq - 1]`."""
    return mean_over(numbers.gather(1, places.anchors) * places.is_marked, counts.marked[0])
