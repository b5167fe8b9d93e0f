"""How fields of chunks are joined. The target belongs to the joiner, the chunk to the caller."""

from typing import TypeVar

from qstar_client._answer_types import AnswerModel

Item = TypeVar("Item")


def update(target: AnswerModel, source: AnswerModel, *, skip: set[str]) -> None:
    """Take over all fields of the source that are not None, unknown ones too."""
    for name, value in source:
        if name not in skip and value is not None:
            setattr(target, name, value)


def extended(target: list[Item] | None, more: list[Item] | None) -> list[Item] | None:
    """The target with more items, in place; None if neither was requested."""
    if more is None:
        return target
    if target is None:
        return list(more)
    target += more
    return target


def appended(target: str | None, more: str | None) -> str | None:
    """The text of both; None if neither is there."""
    if more is None:
        return target
    return more if target is None else target + more
