"""Paired differences between two cells of the same task."""

from collections.abc import Sequence

from qstar_train.evaluator.bootstrap import Bootstrap, Estimate
from qstar_train.evaluator.runner import Cell


def compare(cell: Cell, other: Cell, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Figures of one cell minus those of another of the same task, paired by unit."""
    return cell.task.compare(cell.file.records(), other.file.records(), bootstrap)


def against_first(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """What a cell is held against: the first checkpoint's same way of thinking, else its first.

    None for the first checkpoint itself.
    """
    candidates = [
        other
        for other in cells
        if other.task is cell.task and other.checkpoint == cells[0].checkpoint
    ]
    if cell.checkpoint == cells[0].checkpoint or not candidates:
        return None
    same = [other for other in candidates if other.variant == cell.variant]
    return (same or candidates)[0]


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
