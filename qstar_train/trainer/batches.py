"""Which windows each process trains on at each step."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.errors import ConfigError
from qstar_train.data.windows import WindowStream


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """How the windows of a step are shared out: by process and accumulation round."""

    batch_size: int
    """Windows of one step, over all processes."""
    micro_batch_size: int
    """Windows of one process at once."""
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
        """
        Raises:
            ConfigError: the sizes do not divide.
        """
        if batch_size % num_processes:
            raise ConfigError(
                f"batch_size = {batch_size} cannot be shared by {num_processes} processes evenly. "
                f"Give a multiple of {num_processes}."
            )
        share = batch_size // num_processes
        micro = share if micro_batch_size is None else min(micro_batch_size, share)
        if share % micro:
            raise ConfigError(
                f"micro_batch_size = {micro} does not divide a process's share, {share} windows. "
                "Give another, or another batch_size."
            )
        if micro % think_every:
            raise ConfigError(
                f"objective.think_every = {think_every} does not divide the {micro} windows that a "
                f"process takes at once. Give another, or another batch_size or micro_batch_size."
            )
        return cls(
            batch_size=batch_size,
            micro_batch_size=micro,
            num_processes=num_processes,
            process_index=process_index,
        )

    @property
    def num_rounds(self) -> int:
        """Micro-batches that one process accumulates for one step."""
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
