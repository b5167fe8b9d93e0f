"""How each step trains: learning rates, thought lengths, the share of true thoughts.

Everything is a function of the config and the step, so a run needs no other state to resume.
"""

import math
from typing import Any

from torch import nn
from torch.optim import Optimizer

from qstar_infer.sampling.noise import derive_seed
from qstar_train.config import OptimizerConfig


def parameter_groups(
    model: nn.Module, config: OptimizerConfig, *, gate_learning_rate: float | None = None
) -> list[dict[str, Any]]:
    """AdamW's groups: separate for backbone, talk head, vectors and gate; only matrices decay.

    Args:
        model: its learning parameters are in the groups.
        config: rates and decay.
        gate_learning_rate: None: as the backbone.

    Returns:
        Groups with `params`, `lr`, `full_lr` and `weight_decay`.
    """
    rates = {
        "talk_head": config.talk_head_learning_rate,
        "vectors": config.vector_learning_rate,
        "gate": gate_learning_rate,
        "backbone": config.learning_rate,
    }
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (_part_of(name), parameter.dim() > 1)
            groups.setdefault(key, []).append(parameter)
    result = []
    for (part, is_decayed), parameters in groups.items():
        rate = rates[part] if rates[part] is not None else config.learning_rate
        decay = config.weight_decay if is_decayed else 0.0
        group = {"params": parameters, "lr": rate, "full_lr": rate, "weight_decay": decay}
        result.append(group)
    return result


def clipped_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters whose gradients are clipped together: all but the gate's.

    The gate has a loss of its own, which must not shorten the steps of the others.
    """
    return [each for name, each in model.named_parameters() if _part_of(name) != "gate"]


def _part_of(name: str) -> str:
    if "thought_parts.gate." in name:
        return "gate"
    if "talk_head" in name:
        return "talk_head"
    return "vectors" if "start_thought" in name or "end_thought" in name else "backbone"


def rate_factor(step: int, config: OptimizerConfig, num_steps: int) -> float:
    """The factor of all learning rates in update `step`, which counts from 0.

    Rises from 1 / (warmup + 1) during the warm-up, then stays at 1 or decreases to 0 at
    `num_steps`.
    """
    warmup = config.warmup_steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, num_steps - warmup)
    return 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def set_rates(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rate of each group to its own `full_lr` times the factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor


def thought_length(step: int, lengths: list[int] | None, *, seed: int) -> int | None:
    """The thought length of update `step`: drawn uniformly from `lengths`; None if that is None."""
    return None if lengths is None else lengths[derive_seed(seed, step) % len(lengths)]


def true_share(step: int, share: float, num_steps: int) -> float:
    """The share of thoughts that are true text in update `step`: falls linearly from `share` to 0
    at `num_steps`."""
    return share * max(0.0, 1 - step / num_steps)
