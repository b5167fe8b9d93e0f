"""What each step trains on and how: windows, learning rates, thought lengths.

Everything is a function of the config and the step, so a run needs no other state to resume.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from qstar_infer.errors import ConfigError
from qstar_infer.sampling.noise import derive_seed
from qstar_train.config import OptimizerConfig
from qstar_train.data.windows import WindowStream


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """How the windows of a step are divided among processes and accumulation rounds."""

    batch_size: int
    """Windows per step, over all processes."""
    micro_batch_size: int
    """Windows that one process computes at once."""
    num_processes: int
    process_index: int

    @classmethod
    def of(
        cls,
        batch_size: int,
        micro_batch_size: int | None,
        *,
        think_every: int = 1,
        num_processes: int,
        process_index: int,
    ) -> "BatchPlan":
        """Check the sizes and make a plan.

        Raises:
            ConfigError: the sizes do not divide.
        """
        if batch_size % num_processes:
            raise ConfigError(
                f"batch_size = {batch_size} cannot be divided evenly among {num_processes} "
                f"processes. Give a multiple of {num_processes}."
            )
        share = batch_size // num_processes
        micro = share if micro_batch_size is None else min(micro_batch_size, share)
        if share % micro:
            raise ConfigError(
                f"micro_batch_size = {micro} does not divide the {share} windows of each process. "
                "Change it or batch_size."
            )
        if micro % think_every:
            raise ConfigError(
                f"objective.think_every = {think_every} does not divide the {micro} windows that a "
                "process computes at once. Change it, batch_size or micro_batch_size."
            )
        return cls(
            batch_size=batch_size,
            micro_batch_size=micro,
            num_processes=num_processes,
            process_index=process_index,
        )

    @property
    def num_rounds(self) -> int:
        """Micro-batches that each process accumulates in one step."""
        return self.batch_size // self.num_processes // self.micro_batch_size

    def is_mine(self, place: int) -> bool:
        """Whether the window at `place` of a step's batch belongs to this process."""
        return place // self.micro_batch_size % self.num_processes == self.process_index


def micro_batches(
    stream: WindowStream, plan: BatchPlan, *, first_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's micro-batches, `plan.num_rounds` for each step, without end.

    Yields:
        `input_ids` `[micro, seq]` and `window_indices` `[micro]`, int64, on the CPU.
    """
    ids: list[Tensor] = []
    indices: list[int] = []
    for window in stream.windows(first_step * plan.batch_size):
        if not plan.is_mine(window.index % plan.batch_size):
            continue
        ids.append(window.token_ids)
        indices.append(window.index)
        if len(ids) == plan.micro_batch_size:
            yield torch.stack(ids), torch.tensor(indices)
            ids, indices = [], []


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """AdamW's groups: separate for backbone, talk head and vectors; only matrices decay.

    Returns:
        Groups with `params`, `lr`, `full_lr` and `weight_decay`.
    """
    rates = {
        "talk_head": config.talk_head_learning_rate,
        "vectors": config.vector_learning_rate,
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


def _part_of(name: str) -> str:
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
