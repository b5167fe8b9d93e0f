"""The micro-batches of each step: who computes which windows, and where these are thought about."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qstar_infer.errors import ConfigError
from qstar_train.data.windows import Window, WindowStream
from qstar_train.objective.places import Counts, PlaceRule, Places, choose_places


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
    def num_micro_batches(self) -> int:
        """Micro-batches of a step, over all processes."""
        return self.batch_size // self.micro_batch_size

    @property
    def num_rounds(self) -> int:
        """Micro-batches that each process accumulates in one step."""
        return self.num_micro_batches // self.num_processes

    def mine(self) -> Iterator[slice]:
        """The windows of each of this process's micro-batches, as places in a step's batch."""
        for number in range(self.process_index, self.num_micro_batches, self.num_processes):
            yield slice(number * self.micro_batch_size, (number + 1) * self.micro_batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How the places of a step's windows are chosen and counted."""

    rule: PlaceRule | None
    """None: every position."""
    num_ahead: int
    """As `Counts.of` takes it."""
    seed: int
    """Of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What one process computes at once; on the CPU."""

    input_ids: Tensor
    """`[micro, seq]`, int64, right padded; no longer than its longest window."""
    is_real: Tensor
    """`[micro, seq]`, bool, False at padding."""
    window_indices: Tensor
    """`[micro]`, int64: the windows' numbers in the stream."""
    places: Places | None
    """Where to think. None: everywhere, by the paper's objective."""
    counts: Counts | None
    """What the means are over; None without places."""


def micro_batches(
    stream: WindowStream, plan: BatchPlan, *, first_step: int, placing: Placing | None
) -> Iterator[MicroBatch]:
    """This process's micro-batches, `plan.num_rounds` for each step, without end.

    Args:
        placing: None: no places.
    """
    windows = stream.windows(first_step * plan.batch_size)
    while True:
        yield from _micro_batches_of_step(list(islice(windows, plan.batch_size)), plan, placing)


def _micro_batches_of_step(
    windows: list[Window], plan: BatchPlan, placing: Placing | None
) -> Iterator[MicroBatch]:
    ids = [window.token_ids for window in windows]
    lengths = torch.tensor([len(each) for each in ids])
    input_ids = pad_sequence(ids, batch_first=True)
    if input_ids.shape[1] == 1:  # documents of one token; their one prediction counts nowhere
        input_ids = torch.nn.functional.pad(input_ids, (0, 1))
    is_real = torch.arange(input_ids.shape[1]) < lengths.unsqueeze(1)
    indices = torch.tensor([window.index for window in windows])
    places = counts = None
    if placing is not None:
        places = choose_places(placing.rule, input_ids, is_real, indices, seed=placing.seed)
        counts = Counts.of(
            is_real, places, num_ahead=placing.num_ahead, num_parts=plan.num_micro_batches
        )
    for mine in plan.mine():
        seq = max(2, int(lengths[mine].max()))
        yield MicroBatch(
            input_ids=input_ids[mine, :seq],
            is_real=is_real[mine, :seq],
            window_indices=indices[mine],
            places=None if places is None else places.of_windows(mine),
            counts=counts,
        )
