"""What the training loop asks of a training method.

Quiet-STaR (`trainer/quiet_star.py`) is one; STaR or TRICE would be others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtSample:
    """A thought of a training step, for people to read."""

    context: str
    """The text before it."""
    thought: str
    next_token: str
    """The true token after it."""
    gain: float
    """Base loss less mixed loss of that token, nats."""
    mixing_weight: float


class TrainingMethod(Protocol):
    """What each step reads, its loss, and what is kept between steps.

    A resumed run equals an uninterrupted one. So everything that a method does must be a function
    of the config, the step, the module's learning weights and `state`.
    """

    metric_names: tuple[str, ...]
    """Scalars of each step, for `metrics.jsonl`."""
    num_rounds: int
    """Micro-batches that each process accumulates in one step."""

    @property
    def module(self) -> nn.Module:
        """What learns. The loop wraps it (DDP, FSDP2), updates it and saves what learns.

        `module(**batch)` returns `loss`, a scalar to differentiate; a detached scalar for each of
        `metric_names` and for `num_tokens`, the tokens of text that it read; and whatever else
        `samples` needs.
        """

    def batches(self, first_step: int) -> Iterator[dict[str, Any]]:
        """Arguments of the module for each micro-batch of this process, without end."""

    def inputs(self) -> dict[str, str]:
        """Digests of what the config names but does not hold, such as models and text.

        A run resumes only with the inputs that it was started with.
        """

    def state(self) -> dict[str, Tensor]:
        """What the method keeps between steps, equal on all processes; saved with the weights."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""

    def describe(self, metrics: dict[str, float]) -> str:
        """The most important metrics in half a line, for the progress display."""

    def samples(
        self, batch: dict[str, Any], output: dict[str, Tensor], step: int
    ) -> list[ThoughtSample]:
        """A few thoughts of a micro-batch; none of a method without thoughts."""
