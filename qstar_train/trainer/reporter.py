"""What a run shows and logs: a progress bar or lines, thoughts, a tracker."""

from types import TracebackType
from typing import Self

from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from qstar_train.trainer.method import ThoughtSample
from qstar_train.trainer.run_directory import RunDirectory


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
        self._progress = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=max(4, min(spare, 20))),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (self._is_main and self._console.is_terminal),
        )
        self._task = self._progress.add_task("loss ...", total=num_steps)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def step(self, step: int, metrics: dict[str, float], line: str) -> None:
        """Show one line about a step, and log its metrics."""
        self._progress.update(self._task, completed=step, description=line)
        if self._is_main:
            if self._progress.disable:
                self._console.print(f"step {step}/{self._num_steps} {line}", soft_wrap=True)
            self._directory.append(self._directory.metrics, {"step": step, **metrics})
        self._accelerator.log(metrics, step=step)

    def thoughts(self, step: int, samples: list[ThoughtSample]) -> None:
        """Print some thoughts above the bar, and log them."""
        if not self._is_main:
            return
        for sample in samples:
            self._directory.append(self._directory.samples, {"step": step, **sample.to_json()})
            line = Text.assemble(
                (_one_line(sample.context), "dim"),
                (f" <{_one_line(sample.thought)}> ", "cyan"),
                (_one_line(sample.next_token), "bold"),
                (f"  gain {sample.gain:+.3f}, weight {sample.mixing_weight:.3f}", "dim"),
            )
            self._console.print(line, soft_wrap=True)


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
