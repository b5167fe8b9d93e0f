"""Accounts for everything in a checkpoint: each loader fills an `Inventory`, and `judge` decides.

A checkpoint is loaded only if each tensor and key of its files is used, or has a known reason why
it changes nothing, and if each tensor of the model comes from the files.
"""

import logging
from dataclasses import dataclass, field
from typing import Literal

from qstar_infer.errors import CheckpointError

logger = logging.getLogger(__name__)

_NAMED = 3
"""How many names a message lists."""
FETCH_AGAIN = (
    "The files belong to different models, or one was changed: fetch or save the checkpoint again."
)


@dataclass(slots=True, kw_only=True)
class Inventory:
    """What a loader found in a checkpoint, and what it did with it."""

    where: str
    """The file or directory, for messages."""
    kind: Literal["tensor", "key"]
    used: set[str] = field(default_factory=set)
    """Names in the files that the model uses."""
    missing: set[str] = field(default_factory=set)
    """Names that the model needs and the files lack."""
    unfit: dict[str, str] = field(default_factory=dict)
    """Name -> why it cannot be used: its shape, dtype or value. A clause, as 'has shape [2]'."""
    without_effect: dict[str, str] = field(default_factory=dict)
    """Name -> why the model computes the same without it. A clause."""
    left_over: dict[str, str] = field(default_factory=dict)
    """Name -> what it may mean; "" if unknown. A sentence. The model does not use it."""
    advice: str = ""
    """What to do if a name is unfit; "" to fetch or save the checkpoint again. A sentence."""


def judge(inventory: Inventory) -> None:
    """Check that everything is accounted for. Logs what has no effect.

    Raises:
        CheckpointError: something is missing, unfit or left over; it is named.
    """
    for name, why in sorted(inventory.without_effect.items()):
        logger.debug("%s: %s is not used: %s.", inventory.where, name, why)
    meanings = sorted({meaning for meaning in inventory.left_over.values() if meaning})
    if meanings:  # before the rest, which may follow from it
        raise _left_over(inventory, meanings)
    if inventory.unfit:
        name, why = sorted(inventory.unfit.items())[0]
        raise CheckpointError(
            f"{name} in {inventory.where} {why}{_and_more(inventory.unfit)}. "
            f"{inventory.advice or FETCH_AGAIN}"
        )
    if inventory.missing:
        raise CheckpointError(
            f"{inventory.where} lacks {_named(inventory.missing, inventory.kind)} that the model "
            "needs. A file is missing, or the files belong to different models: fetch or save the "
            "checkpoint again."
        )
    if inventory.left_over:
        raise _left_over(inventory, [])


def _left_over(inventory: Inventory, meanings: list[str]) -> CheckpointError:
    names = {name for name, meaning in inventory.left_over.items() if meaning or not meanings}
    return CheckpointError(
        f"{inventory.where} holds {_named(names, inventory.kind)} that the model does not use, so "
        "it would compute something else than the checkpoint's author intended. "
        f"{' '.join(meanings)}".rstrip()
    )


def _named(names: set[str], kind: str) -> str:
    count = f"1 {kind}" if len(names) == 1 else f"{len(names)} {kind}s"
    first = ", ".join(sorted(names)[:_NAMED])
    return f"{count} ({first}{', ...' if len(names) > _NAMED else ''})"


def _and_more(names: dict[str, str]) -> str:
    return f" (and {len(names) - 1} more do not fit)" if len(names) > 1 else ""
