"""Reads and writes results, and the table of docs/scale.md."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fleet.compare import QUANTITIES
from benchmarks.fleet.cost import FrontTime, HostTime
from benchmarks.fleet.measured_time import MeasuredTime
from qstar_infer.bench.serve.run import MODES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PYTHON_FILE = RESULTS / "fleet-python.json"
"""What HTTP and the scheduler need, by `measure-python`."""
CHECK_FILE = RESULTS / "fleet-check.json"
"""What servers did and the simulator said, by `check`."""
PAGE = ROOT / "docs" / "scale.md"
_BEGIN, _END = "<!-- fleet check -->\n", "<!-- end -->"
_COLUMNS = {"tok_s": "tokens/s", "ttft_s": "TTFT", "itl_s": "per token", "e2e_s": "request"}
assert tuple(_COLUMNS) == QUANTITIES


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load_python_times(path: Path = PYTHON_FILE) -> tuple[FrontTime, HostTime]:
    """The times that `measure-python` has written.

    Raises:
        ValueError: the file has none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        return FrontTime(**found["front"]["time"]), HostTime(**found["host"])
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} has no times of Python ({error!r}); write it with "
            "`python -m benchmarks.fleet measure-python`"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMachine:
    """A model on a machine, as `measure-steps` has measured it."""

    step_time: MeasuredTime
    num_blocks: int
    prefill_rows: int


def load_machine(path: Path) -> MeasuredMachine:
    """What `measure-steps` has written.

    Raises:
        ValueError: the file has none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        return MeasuredMachine(
            step_time=MeasuredTime.from_json(found["step_time"]),
            num_blocks=found["num_blocks"],
            prefill_rows=found["prefill_rows"],
        )
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} has no times of steps ({error!r}); write it with "
            "`python -m benchmarks.fleet measure-steps`"
        ) from error


def check_table(results: Mapping[str, Any]) -> str:
    """Measured and predicted quantities in Markdown, from what `check` has written."""
    lines = [
        "| model, mode | requests/s | level | " + " | ".join(_COLUMNS.values()) + " |",
        "|---|---|---|" + "---|" * len(_COLUMNS),
    ]
    for model, found in results["models"].items():
        for point in found["points"]:
            measured, predicted = point["measured"], point["predicted_at_level"]
            cells = [_cell(measured[key], predicted[key]) for key in _COLUMNS]
            lines.append(
                f"| {model}, {MODES[point['mode']]} | {point['rate']:g} | {point['level']:.2f} | "
                + " | ".join(cells)
                + " |"
            )
    return "\n".join(lines) + "\n"


def write_check_table(results: Mapping[str, Any], page: Path = PAGE) -> None:
    """Replace the table between the marks of the page.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = page.read_text("utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{page} must have the lines {_BEGIN.strip()} and {_END}")
    page.write_text(f"{before}{_BEGIN}\n{check_table(results)}\n{_END}{after}", encoding="utf-8")


def _cell(measured: float | None, predicted: float | None) -> str:
    if measured is None or predicted is None:
        return "-"
    return f"{measured:.3g}, {predicted:.3g} ({predicted / measured - 1:+.0%})"
