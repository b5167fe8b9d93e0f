"""What is measured: a checkpoint with one way of thinking."""

from dataclasses import dataclass

from qstar_eval.scoring import Thinking
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A checkpoint with one way of thinking."""

    label: str
    """Of the checkpoint; unique in a run."""
    model: QuietStarModel
    llm: LLM
    """Over the same model, for generation."""
    thinking: Thinking
    seed: int
    """Of the run. A task derives each unit's seed from it and the unit's index, so that batches
    change nothing."""
