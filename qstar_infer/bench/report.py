"""What every measurement returns: a header, numbers, a table and a chart. Plain data, no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Cell = str | int | float | None
"""None is shown as a dash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What was measured, and on what."""

    machine: dict[str, Any]
    """Fields of `bench.hardware.Machine`."""
    machine_line: str
    model: str
    runner: str
    dtype: str
    """Of states, keys and values."""
    quantization: str
    kernel: str
    """How linear layers are multiplied."""
    num_thought_tokens: int | None
    """None: as the checkpoint says."""
    versions: dict[str, str]
    load_average: list[float | None]
    """Before and after the run. Much more than the threads of this run: others were busy too."""

    def lines(self) -> list[str]:
        """The header in words."""
        loads = ["?" if load is None else f"{load:.1f}" for load in self.load_average]
        count = self.num_thought_tokens
        thought = "thoughts as trained" if count is None else f"{count} tokens per thought"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            self.machine_line,
            f"{self.model}, runner {self.runner}, dtype {self.dtype}, quantization "
            f"{self.quantization}, kernel {self.kernel}, {thought}",
            f"{versions}; load average {' and '.join(loads)} before and after",
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """One bar for each name."""

    title: str
    y_label: str
    bars: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """One line for each name, over the same logarithmic axis."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one measurement."""

    header: Header
    settings: Mapping[str, Any]
    """What was asked for: lengths, repeats, ..."""
    figures: Mapping[str, Any]
    """The numbers, as JSON values, by name. Rates are medians over the repeats."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """Ratios of medians of this run."""
    table: Table
    notes: Sequence[str]
    """Lines below the table."""
    chart: BarChart | LineChart

    def to_json(self) -> dict[str, Any]:
        """The figures at the top level; the rest by name."""
        return {
            **self.figures,
            "ratios": dict(self.ratios),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "header": asdict(self.header),
        }


def ratios_of(rates: Mapping[str, float], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """`{"a_over_b": rates["a"] / rates["b"]}` for the pairs that were measured."""
    return {
        f"{above}_over_{below}": rates[above] / rates[below]
        for above, below in pairs
        if above in rates and below in rates
    }
