"""`report.json`: every figure with its interval, and what they were measured of and on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qstar_eval.bootstrap import Bootstrap
from qstar_eval.comparisons import compare, compared_with
from qstar_eval.config import EvaluateSettings
from qstar_eval.difficulty import difficulty_groups
from qstar_eval.held_out import HeldOutTask
from qstar_eval.runner import Cell
from qstar_eval.variants import kind_name
from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.checkpoint.options import LoadOptions

FILE = "report.json"
Report = dict[str, Any]
"""JSON:

- `settings`, `versions`, `hardware`
- `checkpoints`: `label`, `source`, `fingerprint`, `description`, `num_thought_tokens`, `can_think`
- `results`, one for each cell: `task`, `checkpoint`, `num_thought_tokens`, `thoughts` (sampled,
  random, none), `num_units`, `figures` (name to `value`, `low`, `high`); of held-out text also
  `difficulty`: `judged_by` (a label) and `groups`, the easiest first
- `comparisons`: `task`, `this` and `other` (each `checkpoint`, `num_thought_tokens`, `thoughts`),
  `figures` of this minus other, paired
"""


def make_report(settings: EvaluateSettings, cells: Sequence[Cell]) -> Report:
    """Summarise complete cells.

    Args:
        cells: in the order of the run: the first one's checkpoint is what others are compared with.
    """
    bootstrap = Bootstrap(num_resamples=settings.bootstrap_resamples, seed=settings.seed)
    device = LoadOptions.resolve(dtype="auto", device=settings.device, quantization="none").device
    checkpoints = {cell.checkpoint.label: cell for cell in cells}
    return {
        "settings": settings.model_dump(mode="json"),
        "versions": versions(),
        "hardware": describe_device(device),
        "checkpoints": [
            asdict(cell.checkpoint) | asdict(cell.facts) for cell in checkpoints.values()
        ],
        "results": [_result(cell, cells, bootstrap) for cell in cells],
        "comparisons": list(_comparisons(cells, bootstrap)),
    }


def write_report(report: Report, directory: Path) -> Path:
    """Write it, whole or not at all."""
    path = directory / FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def _result(cell: Cell, cells: Sequence[Cell], bootstrap: Bootstrap) -> dict[str, Any]:
    records = cell.file.records()
    figures = cell.task.summarise(records, bootstrap)
    result = {
        "task": cell.task.name,
        **_name(cell),
        "num_units": len(records),
        "figures": {name: asdict(estimate) for name, estimate in figures.items()},
    }
    if isinstance(cell.task, HeldOutTask):
        judge = next(other for other in cells if other.task is cell.task)
        judges = records if judge is cell else judge.file.records()
        groups, is_judged = difficulty_groups(records, judges, bootstrap)
        judged_by = judge.checkpoint.label if is_judged else cell.checkpoint.label
        result["difficulty"] = {
            "judged_by": judged_by,
            "groups": [asdict(group) for group in groups],
        }
    return result


def _comparisons(cells: Sequence[Cell], bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    for cell in cells:
        for other in compared_with(cell, cells):
            figures = compare(cell, other, bootstrap)
            yield {
                "task": cell.task.name,
                "this": _name(cell),
                "other": _name(other),
                "figures": {name: asdict(estimate) for name, estimate in figures.items()},
            }


def _name(cell: Cell) -> dict[str, Any]:
    return {
        "checkpoint": cell.checkpoint.label,
        "num_thought_tokens": cell.thinking.num_thought_tokens,
        "thoughts": kind_name(cell.thinking),
    }
