"""The benchmark's results: figures, comparisons with the targets, a table. No torch."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

OURS = "ours"
WAYS = {OURS: "ours", "cached": "paper's, cached", "recomputed": "paper's, recomputed"}
"""The ways in the order in which they run, and their names in tables."""
COMPARED_AT = 256
"""Sequence length that the targets are for."""
MIN_SPEED_RATIO, MAX_MEMORY_RATIO, TOLERANCE = 3.0, 1 / 3, 1e-4
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one way at one length, by repeat. Empty lists: it does not fit in memory."""

    way: str
    seq: int
    seconds: list[float]
    peak_bytes: list[int]
    losses: dict[str, float]
    """By name (total, language, policy); from the last repeat."""

    @property
    def fits(self) -> bool:
        return bool(self.seconds)

    @property
    def positions_s(self) -> float:
        return self.seq / statistics.median(self.seconds)

    @property
    def peak_mib(self) -> float:
        return statistics.median(self.peak_bytes) / MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveReport:
    """All rows, and the setup of the measurement."""

    rows: list[Row]
    num_thought_tokens: int
    num_talk_tokens: int
    repeats: int
    model: str
    command: str
    hardware: str
    memory_gib: float
    versions: dict[str, str]

    def find(self, way: str, seq: int) -> Row | None:
        """The row of a way at a length; None if it was not measured or does not fit."""
        for row in self.rows:
            if (row.way, row.seq) == (way, seq) and row.fits:
                return row
        return None

    def comparisons(self) -> dict[str, dict[str, float | bool]]:
        """Compare ours with each other way at `COMPARED_AT` tokens, and with the targets."""
        ours = self.find(OURS, COMPARED_AT)
        found: dict[str, dict[str, float | bool]] = {}
        for way in WAYS:
            other = self.find(way, COMPARED_AT)
            if way == OURS or ours is None or other is None:
                continue
            speed, memory = ours.positions_s / other.positions_s, ours.peak_mib / other.peak_mib
            found[way] = {
                "speed_ratio": speed,
                "memory_ratio": memory,
                "is_fast_enough": speed >= MIN_SPEED_RATIO,
                "is_small_enough": memory <= MAX_MEMORY_RATIO,
            }
        return found

    def deviation(self) -> float:
        """The largest relative deviation of a loss from ours at the same length."""
        deviations = [0.0]
        for row in self.rows:
            ours = self.find(OURS, row.seq)
            if row.fits and ours is not None:
                deviations += [
                    abs(value - ours.losses[name]) / max(abs(ours.losses[name]), 1e-12)
                    for name, value in row.losses.items()
                ]
        return max(deviations)

    def growth(self) -> dict[str, float]:
        """For each way, `d ln(memory) / d ln(length)` at its two largest lengths; 1 is linear."""
        found = {}
        for way in WAYS:
            rows = [row for row in self.rows if row.way == way and row.fits]
            rows.sort(key=lambda row: row.seq)
            if len(rows) >= 2:
                short, long = rows[-2:]
                found[way] = math.log(long.peak_mib / short.peak_mib) / math.log(
                    long.seq / short.seq
                )
        return found

    def to_json(self) -> dict[str, Any]:
        rows = [
            asdict(row)
            | ({"positions_s": row.positions_s, "peak_mib": row.peak_mib} if row.fits else {})
            | {"fits": row.fits}
            for row in self.rows
        ]
        return asdict(self) | {
            "rows": rows,
            f"at_{COMPARED_AT}_tokens": self.comparisons(),
            "largest_relative_deviation_of_losses": self.deviation(),
            "memory_growth_exponent": self.growth(),
        }


def objective_table(report: ObjectiveReport) -> Table:
    """A line for each length, with memory and speed of each way."""
    table = Table(title="One training step: peak memory (MiB) and speed (positions/s)")
    table.add_column("tokens", justify="right")
    for name in WAYS.values():
        table.add_column(f"{name}\nMiB", justify="right")
        table.add_column("\npos/s", justify="right")
    for seq in sorted({row.seq for row in report.rows}):
        cells = [str(seq)]
        for way in WAYS:
            row = report.find(way, seq)
            cells += ["does not fit", "-"] if row is None else _cells(row)
        table.add_row(*cells)
    return table


def summary(report: ObjectiveReport) -> Sequence[str]:
    """The comparisons as sentences."""
    lines = []
    for way, figures in report.comparisons().items():
        lines.append(
            f"at {COMPARED_AT} tokens against {WAYS[way]}: "
            f"{figures['speed_ratio']:.2f} x positions/s "
            f"(target {MIN_SPEED_RATIO:g}: {_verdict(figures['is_fast_enough'])}), "
            f"{figures['memory_ratio']:.3f} x memory "
            f"(target {MAX_MEMORY_RATIO:.3f}: {_verdict(figures['is_small_enough'])})"
        )
    growth = ", ".join(f"{WAYS[way]} {power:.2f}" for way, power in report.growth().items())
    same = _verdict(report.deviation() <= TOLERANCE)
    return [
        *lines,
        f"memory grows with the length to the power of: {growth}",
        f"losses deviate by {report.deviation():.1e} at most (target {TOLERANCE:g}: {same})",
        f"{report.model}; {report.num_thought_tokens} thought and {report.num_talk_tokens} talk "
        f"tokens, 1 pass, batch 1; {report.hardware}, {report.memory_gib:.0f} GiB; "
        f"median of {report.repeats} interleaved repeats",
    ]


def _cells(row: Row) -> list[str]:
    return [f"{row.peak_mib:,.0f}", f"{row.positions_s:.1f}"]


def _verdict(is_met: bool | float) -> str:
    return "met" if is_met else "NOT met"
