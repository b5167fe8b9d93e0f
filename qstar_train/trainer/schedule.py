"""What changes from step to step, as functions of the step alone."""

import math

from torch.optim import Optimizer

from qstar_infer.sampling.noise import derive_seed
from qstar_train.trainer.config import OptimizerSettings


def rate_factor(step: int, settings: OptimizerSettings, num_steps: int) -> float:
    """What the learning rates are multiplied by in update `step`, from 0.

    Rises from 1 / (warmup + 1) over the warm-up; then stays at 1 or falls towards 0 at `num_steps`.
    """
    warmup = settings.warmup_steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, num_steps - warmup)
    return 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def thought_length(step: int, lengths: list[int] | None, *, seed: int) -> int | None:
    """How long update `step`, from 0, thinks: one of `lengths`, all as likely; None of None."""
    return None if lengths is None else lengths[derive_seed(seed, step) % len(lengths)]


def true_share(step: int, share: float, num_steps: int) -> float:
    """What share of the thoughts of update `step`, from 0, is true text: from `share` down to 0 at
    `num_steps`, evenly."""
    return share * max(0.0, 1 - step / num_steps)


def set_rates(optimizer: Optimizer, factor: float) -> None:
    """Each group's rate: its own `full_lr` times the factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor
