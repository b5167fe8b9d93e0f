"""What would make a slow training step faster."""

import os

import torch

from qstar_train.config import TrainConfig

SLOW_STEP_S = 60.0
"""A first step that takes longer than this gets a warning."""


def faster_ways(config: TrainConfig, *, device: torch.device, num_processes: int) -> list[str]:
    """Changes that shorten a step, the most likely one first.

    Args:
        config: of the run, as the user gave it.
        device: of this process.
        num_processes: of the run, on this machine.
    """
    ways = []
    if device.type == "cpu":
        if config.dtype == "bfloat16":
            ways.append("dtype=auto, which is float32 on CPUs that compute bfloat16 slowly")
        num_cpus, num_threads = os.cpu_count() or 1, torch.get_num_threads()
        if num_processes * num_threads > num_cpus:
            ways.append(
                f"fewer threads or processes: {num_processes} processes of {num_threads} threads "
                f"share {num_cpus} CPUs (OMP_NUM_THREADS={max(1, num_cpus // num_processes)})"
            )
        ways.append("a GPU")
    ways.append(
        f"less work per step: batch_size (now {config.batch_size}), data.window (now "
        f"{config.data.window}), objective.num_passes (now {config.objective.num_passes})"
    )
    return ways
