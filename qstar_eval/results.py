"""A result: one checkpoint, task and thinking mode. And which results are compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qstar_eval.checkpoints import Checkpoint, ModelFacts
from qstar_eval.config import ThoughtKind
from qstar_eval.scoring import ThinkingMode
from qstar_eval.task import RecordFile, Task

CONTROLS: tuple[ThoughtKind, ...] = ("random", "shuffled")
"""Thoughts whose words do not belong to the text."""


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
    yield from controls(result, results)


def controls(result: Result, results: Sequence[Result]) -> list[Result]:
    """The same checkpoint with random and shuffled thoughts of the same length, as far as they were
    measured; empty if the result itself is such a control."""
    length = result.mode.num_thought_tokens
    if result.mode.kind in CONTROLS or length == 0:
        return []
    return [
        found
        for kind in CONTROLS
        for found in _in_mode(result, results, ThinkingMode(num_thought_tokens=length, kind=kind))
    ]


def _of_first_checkpoint(result: Result, results: Sequence[Result]) -> list[Result]:
    """The first checkpoint in the same mode; else with the same kind of thoughts; else in any mode.

    A checkpoint that cannot think is a control: it is compared with every mode of the first one
    with sampled thoughts. Empty for the first checkpoint itself.
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


def shown_by_task(
    results: Sequence[Result], kind: type[Task]
) -> Iterator[tuple[str, list[Result]]]:
    """Each task of a kind with one result for each checkpoint that thinks.

    Sampled thoughts are preferred to others, then the trained length, then longer ones.
    """

    def preference(result: Result) -> tuple[bool, bool, int]:
        length = result.mode.num_thought_tokens
        return result.mode.kind == "sampled", length == result.facts.num_thought_tokens, length

    found: dict[str, dict[str, Result]] = {}
    for result in results:
        if not isinstance(result.task, kind):
            continue
        shown, label = found.setdefault(result.task.name, {}), result.checkpoint.label
        if result.mode.num_thought_tokens and (
            label not in shown or preference(result) > preference(shown[label])
        ):
            shown[label] = result
    for name, shown in found.items():
        yield name, list(shown.values())
