"""What the work of stages shares: questions and results on disk, estimates as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qstar_eval.answer_sets import AnswerQuestion
from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_train.atomic_write import replace_text

BOOTSTRAP = Bootstrap()


def read_questions(path: str, count: int | None = None) -> list[AnswerQuestion]:
    """The held-out questions of a corpus, by size.

    Args:
        path: `test.jsonl`.
        count: how many, from the first on. None: all.
    """
    with Path(path).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:count]
    return [
        AnswerQuestion(
            prompt=row["prompt"],
            answer=row["answer"],
            group=str(row["size"]),
            working=row["working"],
        )
        for row in rows
    ]


def share(values: Sequence[bool]) -> list[float]:
    """Mean of yes and no, with its interval, as JSON."""
    return as_list(BOOTSTRAP.share([float(value) for value in values]))


def as_list(estimate: Estimate) -> list[float]:
    """An estimate as JSON: value and interval."""
    return [round(number, 5) for number in (estimate.value, estimate.low, estimate.high)]


def write_result(path: str, values: dict[str, Any]) -> None:
    """Write a stage's result, completely or not at all."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    replace_text(Path(path), json.dumps(values, indent=1) + "\n")
