"""Paired differences between two cells of the same task."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from qstar_train.evaluator.bootstrap import Bootstrap, Estimate
from qstar_train.evaluator.runner import Cell
from qstar_train.evaluator.task import Record


@runtime_checkable
class ComparesItself(Protocol):
    """A task whose figures are not means of numbers in its records."""

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Figures of the first minus those of the second; empty where they cannot be compared."""
        ...


def compare(cell: Cell, other: Cell, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Figures of one cell minus those of another of the same task, paired by unit.

    A task that does not compare itself is compared by every number its records hold, over the units
    where both hold it.
    """
    records, others = cell.file.records(), other.file.records()
    if isinstance(cell.task, ComparesItself):
        return cell.task.compare(records, others, bootstrap)
    return compare_numbers(records, others, bootstrap)


def compare_numbers(
    records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
) -> dict[str, Estimate]:
    """Mean differences of the records' numbers and truth values, under their names."""
    names = dict.fromkeys(name for record in records for name in record if name != "index")
    found = {}
    for name in names:
        pairs = [
            (float(record[name]), float(second[name]))
            for record, second in zip(records, others, strict=True)
            if _is_number(record.get(name)) and _is_number(second.get(name))
        ]
        if pairs:
            values, other_values = zip(*pairs, strict=True)
            found[name] = bootstrap.mean_difference(values, other_values)
    return found


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
