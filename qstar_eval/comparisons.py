"""Paired differences between two cells of the same task."""

from collections.abc import Iterator, Sequence

from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_eval.generation import GenerationTask
from qstar_eval.runner import Cell
from qstar_eval.scoring import ThoughtKind


def compare(cell: Cell, other: Cell, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Figures of one cell minus those of another of the same task, paired by unit."""
    return cell.task.compare(cell.file.records(), other.file.records(), bootstrap)


def compared_with(cell: Cell, cells: Sequence[Cell]) -> Iterator[Cell]:
    """Everything that a cell is held against."""
    yield from against_first(cell, cells)
    for other in (against_silence(cell, cells), against_random(cell, cells)):
        if other is not None:
            yield other


def against_first(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """What a cell is held against: of the first checkpoint, the same way of thinking.

    Where there is none, the first with the same kind of thoughts, or the first at all. A checkpoint
    that cannot think is held against each way of thinking but random words: it is a control.
    Nothing for the first checkpoint itself.
    """
    first = cells[0].checkpoint
    if cell.checkpoint == first:
        return []
    candidates = [other for other in cells if other.task is cell.task and other.checkpoint == first]
    same_kind = [other for other in candidates if other.thinking.kind == cell.thinking.kind]
    if same_kind and not cell.facts.can_think:
        return same_kind
    same = [other for other in candidates if other.variant == cell.variant]
    return (same or same_kind or candidates)[:1]


def against_silence(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The same checkpoint's answers without thoughts.

    None for tasks other than those that write answers: their records have the base beside it.
    """
    if cell.thinking.num_thought_tokens == 0 or not isinstance(cell.task, GenerationTask):
        return None
    return _same_but(cell, cells, num_thought_tokens=0, kind="sampled")


def against_random(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The same checkpoint with random thoughts of the same length; None where there are none."""
    if cell.thinking.kind != "sampled" or cell.thinking.num_thought_tokens == 0:
        return None
    return _same_but(
        cell, cells, num_thought_tokens=cell.thinking.num_thought_tokens, kind="random"
    )


def _same_but(
    cell: Cell, cells: Sequence[Cell], *, num_thought_tokens: int, kind: ThoughtKind
) -> Cell | None:
    """The cell of the same checkpoint and task with another way of thinking."""
    for other in cells:
        if (
            (other.checkpoint, other.task.name) == (cell.checkpoint, cell.task.name)
            and other.thinking.num_thought_tokens == num_thought_tokens
            and other.thinking.kind == kind
        ):
            return other
    return None
