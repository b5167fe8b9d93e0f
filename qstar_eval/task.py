"""Tasks measure examples, one record each, and summarise the records; files of records."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_eval.config import (
    ALL_KINDS,
    KINDS_OF_MEASURES,
    Measure,
    QuestionSetConfig,
    ThoughtKind,
)
from qstar_eval.questions import Question
from qstar_eval.scoring import ThinkingMode
from qstar_infer.errors import CheckpointError, ConfigError, NotFiniteError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling.noise import row_keys

Record = dict[str, Any]
"""JSON. Every record has the "index" of its example."""
_QUESTION_STREAM = -2
"""Separates a question's noise from that of tokens (0 and up) and completions (-1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalTarget:
    """A loaded checkpoint with one thinking mode."""

    label: str
    """Of the checkpoint; unique in a run."""
    model: QuietStarModel
    llm: LLM
    """Generates with the same model."""
    mode: ThinkingMode
    seed: int
    """Of the run. A task derives each example's seed from it and the example's index, so records
    do not depend on the batch."""

    def not_finite(self, what: str) -> CheckpointError:
        """The error for a number that is NaN or infinite.

        Args:
            what: what is not finite, with its verb: "the losses are".
        """
        dtype = str(self.model.dtype).removeprefix("torch.")
        return CheckpointError(f"{self.label}: {NotFiniteError(what, dtype=dtype)}.")


class Task(ABC):
    """Examples numbered from 0. Files call them units."""

    name: str
    """Unique in a run; a file name."""
    num_examples: int
    digest: str
    """`digest_of` the examples' content: a file may change without changing its name."""
    batch_size: int
    """Most examples in one call of `measure`."""
    has_base_figures = True
    """Whether each record also holds the figures without thoughts."""
    kinds: frozenset[ThoughtKind] = ALL_KINDS
    """The thoughts that the task can measure. The run skips the others."""

    @abstractmethod
    def measure(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """Measure these examples: one record for each index, in order."""

    @abstractmethod
    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Named figures over the records of all examples, which are sorted by index."""

    @abstractmethod
    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Figures of `records` minus those of `others`, paired by example; both sorted by index.

        Empty if they cannot be compared.
        """


class QuestionTask(Task):
    """A task whose example i is question i."""

    measure_name: ClassVar[Measure]
    shares: tuple[str, ...] = ()
    """Figures that are 0 or 1 for every question."""

    def __init__(
        self, config: QuestionSetConfig, questions: Sequence[Question], *, batch_size: int
    ) -> None:
        self.name = f"{config.name}-{self.measure_name}"
        self.kinds = KINDS_OF_MEASURES[self.measure_name]
        self.config = config
        self.questions = questions
        self.num_examples = len(questions)
        self.digest = digest_of([asdict(question) for question in questions])
        self.batch_size = batch_size

    @abstractmethod
    def figures(self, record: Record) -> dict[str, float]:
        """The figures of one measured question, by name."""

    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Means of the figures over the measured questions, and how many were left out."""
        rows = [self.figures(record) for record in records if "left_out" not in record]
        means = {
            name: (bootstrap.share if name in self.shares else bootstrap.mean)(
                [row[name] for row in rows]
            )
            for name in (rows[0] if rows else {})
        }
        num_left_out = float(len(records) - len(rows))
        exact = Estimate(value=num_left_out, low=num_left_out, high=num_left_out)
        return {**means, "num_left_out": exact}

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Mean differences of the figures, over the questions that both have measured."""
        pairs = [
            (self.figures(record), self.figures(other))
            for record, other in zip(records, others, strict=True)
            if "left_out" not in record and "left_out" not in other
        ]
        return {
            name: bootstrap.mean([first[name] - second[name] for first, second in pairs])
            for name in (pairs[0][0] if pairs else {})
        }


def question_seed(target: EvalTarget, index: int) -> int:
    """The seed of a question's noise: a function of the run's seed and the question's index."""
    return int(question_seeds(target.seed, [index]))


def question_seeds(seed: int, indices: Sequence[int]) -> Tensor:
    """The seed of each question's noise: `[questions]`, int64."""
    numbers = torch.tensor(indices, dtype=torch.int64)
    return row_keys(
        torch.full_like(numbers, seed), numbers, torch.full_like(numbers, _QUESTION_STREAM)
    )


def digest_of(content: Any) -> str:
    """16 hexadecimal digits for anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


class RecordFile:
    """A jsonl file with one record per line, in the order of measuring.

    Opening it drops an incomplete last line, which an interrupted run leaves. It keeps no records
    in memory, because a sweep has gigabytes of them.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ConfigError: a line other than the last is not a record.
        """
        self._path = path
        if path.exists():
            self._drop_incomplete_line()
        self.indices = {int(record["index"]) for record in self._read()}
        """Of the examples that have a record."""

    def records(self) -> list[Record]:
        """Read one record per example, the first written, sorted by index."""
        first: dict[int, Record] = {}
        for record in self._read():
            first.setdefault(int(record["index"]), record)
        return [first[index] for index in sorted(first)]

    def append(self, records: Sequence[Record]) -> None:
        """Write records and flush them to the operating system: a killed process keeps them."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
        self.indices |= {int(record["index"]) for record in records}

    def _drop_incomplete_line(self) -> None:
        with self._path.open("rb+") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)

    def _read(self) -> Iterator[Record]:
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    record = json.loads(line)
                    int(record["index"])
                except (ValueError, KeyError, TypeError) as error:
                    raise ConfigError(
                        f"{self._path}, line {number} is not a record ({error}). Delete the file "
                        "to measure its examples again, or give another --out."
                    ) from error
                yield record


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically: a crash leaves the old file or the new one.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_suffix(".tmp")
    text = json.dumps(value, indent=2, allow_nan=False)
    temporary.write_text(f"{text}\n", encoding="utf-8")
    temporary.replace(path)
