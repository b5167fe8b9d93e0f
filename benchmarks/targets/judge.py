"""Compares measured figures with the targets of `targets.json`. Plain data."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TARGETS = Path(__file__).with_name("targets.json")
FAST_BFLOAT16 = "avx512-bf16"
OTHERS = "avx2"
"""Every CPU without fast bfloat16 is held to the targets of one with AVX2 only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What must hold."""

    measure: str
    figures: tuple[str, ...]
    """`COMMAND PATH.IN.ITS.JSON` of each way; the largest counts."""
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the table."""

    measure: str
    target: float
    figure: float | None
    """None: no command has measured it."""
    command: str
    """The one that measured the figure, or the ones that should have."""

    @property
    def holds(self) -> bool:
        return self.figure is not None and self.figure >= self.target

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds}


def load_commands() -> dict[str, str]:
    """The commands by name, without `qstar`."""
    commands: dict[str, str] = json.loads(TARGETS.read_text("utf-8"))["commands"]
    return commands


def load_measures(kind: str) -> list[Measure]:
    """The targets of a kind of machine, as `bench.hardware.machine_kind` names it."""
    column = FAST_BFLOAT16 if kind == FAST_BFLOAT16 else OTHERS
    return [
        Measure(measure=each["measure"], figures=tuple(each["figures"]), target=float(each[column]))
        for each in json.loads(TARGETS.read_text("utf-8"))["measures"]
    ]


def judge(
    measure: Measure, results: Mapping[str, Mapping[str, Any]], commands: Mapping[str, str]
) -> Verdict:
    """Compare the best way with its target.

    Args:
        results: what the commands wrote, by name; those that failed are absent.
        commands: by name.
    """
    found: dict[str, float] = {}
    for figure in measure.figures:
        name, _, path = figure.partition(" ")
        value = _at(results.get(name, {}), path)
        if value is not None:
            found[name] = value
    best = max(found, key=lambda name: found[name], default=None)
    names = [figure.partition(" ")[0] for figure in measure.figures] if best is None else [best]
    return Verdict(
        measure=measure.measure,
        target=measure.target,
        figure=None if best is None else found[best],
        command="; ".join(f"qstar {commands[name]}" for name in names),
    )


def _at(values: Mapping[str, Any], path: str) -> float | None:
    """The number at `a.b.c`; None if there is none."""
    found: Any = values
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)
