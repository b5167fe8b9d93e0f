"""What a run shows and logs: a progress bar or lines, thoughts, a warning if it is slow."""

import logging
import os
from dataclasses import asdict

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from qstar_infer.cli.terminal import one_line, safe_text
from qstar_infer.hardware import has_fast_bfloat16
from qstar_train.config import TrainConfig
from qstar_train.trainer.method import ThoughtSample
from qstar_train.trainer.run_directory import RunDirectory

logger = logging.getLogger(__name__)

SLOW_STEP_S = 60.0
"""A first step that takes longer gets a warning."""


class Reporter:
    """Shows a run on stderr and logs it in its directory; does nothing on other processes.

    A terminal gets a progress bar; anything else, such as a log file, a line per logged step.
    """

    def __init__(
        self, accelerator: Accelerator, directory: RunDirectory, *, num_steps: int
    ) -> None:
        self._accelerator = accelerator
        self._directory = directory
        self._is_main = accelerator.is_main_process
        self._num_steps = num_steps
        self._console = Console(stderr=True)
        spare = self._console.width - 76  # columns that the numbers leave
        self.progress = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=max(4, min(spare, 20))),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (self._is_main and self._console.is_terminal),
        )
        """Shown while it is entered."""
        self._task = self.progress.add_task("loss ...", total=num_steps)

    def step(self, step: int, metrics: dict[str, float], line: str) -> None:
        """Show one line about a step, and log its metrics."""
        self.progress.update(self._task, completed=step, description=line)
        if self._is_main:
            if self.progress.disable:
                whole = safe_text(f"step {step}/{self._num_steps} {line}")
                self._console.print(whole, soft_wrap=True)
            self._directory.append(self._directory.metrics, {"step": step, **metrics})
        self._accelerator.log(metrics, step=step)

    def first_step(self, seconds: float, config: TrainConfig) -> None:
        """Warn if the first step was slow.

        Args:
            seconds: its duration.
            config: of the run, as the user gave it.
        """
        if seconds > SLOW_STEP_S and self._is_main:
            device, num_processes = self._accelerator.device, self._accelerator.num_processes
            ways = faster_ways(config, device=device, num_processes=num_processes)
            logger.warning("The first step took %.0f s. Faster: %s.", seconds, "; ".join(ways))

    def thoughts(self, step: int, samples: list[ThoughtSample]) -> None:
        """Print some thoughts above the bar, and log them."""
        if not self._is_main:
            return
        for sample in samples:
            self._directory.append(self._directory.samples, {"step": step, **asdict(sample)})
            self._console.print(sample_line(sample), soft_wrap=True)


def sample_line(sample: ThoughtSample) -> Text:
    """A thought of the model on one line that a terminal does not obey."""
    return Text.assemble(
        (one_line(sample.context), "dim"),
        (f" <{one_line(sample.thought)}> ", "cyan"),
        (one_line(sample.next_token), "bold"),
        (f"  gain {sample.gain:+.3f}, weight {sample.mixing_weight:.3f}", "dim"),
    )


def faster_ways(config: TrainConfig, *, device: torch.device, num_processes: int) -> list[str]:
    """Changes that shorten a step, the most likely one first.

    Args:
        config: of the run, as the user gave it.
        device: of this process.
        num_processes: of the run, on this machine.
    """
    ways = []
    if device.type == "cpu":
        if config.dtype == "bfloat16" and not has_fast_bfloat16(device):
            ways.append("dtype=float32, because this CPU has no instructions for bfloat16")
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
