"""A result: one checkpoint, task and thinking mode. And which results are compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qstar_eval.checkpoints import Checkpoint, ModelFacts
from qstar_eval.scoring import ThinkingMode
from qstar_eval.task import RecordFile, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One checkpoint, one task, one thinking mode: one file of records."""

    checkpoint: Checkpoint
    facts: ModelFacts
    task: Task
    mode: ThinkingMode
    file: RecordFile

    @property
    def missing(self) -> list[int]:
        """Indices of the examples without a record."""
        return [index for index in range(self.task.num_examples) if index not in self.file.indices]


def compared_with(result: Result, results: Sequence[Result]) -> Iterator[Result]:
    """Every result that this one is compared with."""
    yield from _of_first_checkpoint(result, results)
    if result.mode.num_thought_tokens and not result.task.has_base_figures:
        yield from _in_mode(result, results, ThinkingMode(num_thought_tokens=0))
    yield from random_control(result, results)


def random_control(result: Result, results: Sequence[Result]) -> list[Result]:
    """The same checkpoint with random thoughts of the same length; empty if there is none."""
    length = result.mode.num_thought_tokens
    if result.mode.kind != "sampled" or length == 0:
        return []
    return _in_mode(result, results, ThinkingMode(num_thought_tokens=length, kind="random"))


def _of_first_checkpoint(result: Result, results: Sequence[Result]) -> list[Result]:
    """The first checkpoint in the same mode; else with the same kind of thoughts; else in any mode.

    A checkpoint that cannot think is a control: it is compared with every mode of the first one but
    random thoughts. Empty for the first checkpoint itself.
    """
    first = results[0].checkpoint
    if result.checkpoint == first:
        return []
    candidates = [
        other for other in results if other.task is result.task and other.checkpoint == first
    ]
    same_kind = [other for other in candidates if other.mode.kind == result.mode.kind]
    if same_kind and not result.facts.can_think:
        return same_kind
    same = [other for other in candidates if other.mode.name == result.mode.name]
    return (same or same_kind or candidates)[:1]


def _in_mode(result: Result, results: Sequence[Result], mode: ThinkingMode) -> list[Result]:
    """The result of the same checkpoint and task in another mode; empty if there is none."""
    wanted = (result.checkpoint, result.task.name, mode.name)
    return [
        other for other in results if (other.checkpoint, other.task.name, other.mode.name) == wanted
    ]
