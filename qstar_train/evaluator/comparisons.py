"""Paired differences between two cells of the same task."""

from collections.abc import Sequence

from qstar_train.evaluator.bootstrap import Bootstrap, Estimate
from qstar_train.evaluator.runner import Cell


def compare(cell: Cell, other: Cell, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Figures of one cell minus those of another of the same task, paired by unit."""
    return cell.task.compare(cell.file.records(), other.file.records(), bootstrap)


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


def against_random(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The same checkpoint with random thoughts of the same length; None where there are none."""
    if cell.thinking.kind != "sampled" or cell.thinking.num_thought_tokens == 0:
        return None
    for other in cells:
        if (
            (other.checkpoint, other.task.name) == (cell.checkpoint, cell.task.name)
            and other.thinking.num_thought_tokens == cell.thinking.num_thought_tokens
            and other.thinking.kind == "random"
        ):
            return other
    return None
