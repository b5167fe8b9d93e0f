"""Collects the reasons to refuse a checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from qstar_infer.errors import CheckpointError

T = TypeVar("T")


@dataclass(slots=True)
class Problems:
    """Why a checkpoint would be refused."""

    messages: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], T]) -> T | None:
        """The result of a step of loading; None if it refuses, with the reason noted."""
        try:
            return step()
        except CheckpointError as error:
            if str(error) not in self.messages:
                self.messages.append(str(error))
            return None
