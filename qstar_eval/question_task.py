"""What the tasks over a question set share: one unit for each question, its seed, its figures."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict

import torch

from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_eval.questions import Question, QuestionKind
from qstar_eval.scoring import Thinking
from qstar_eval.subject import Subject
from qstar_eval.task import Record, digest_of
from qstar_infer.sampling.noise import row_keys

_QUESTION_ROLE = -2
"""Sets the noise of a question's seed apart from that of tokens (0 and up) and completions (-1)."""


class QuestionTask(ABC):
    """A `Task` whose unit i is question i."""

    shares: tuple[str, ...] = ()
    """Figures that are 0 or 1 for a question, so that their mean is a share of the questions."""

    def __init__(
        self, *, name: str, kind: QuestionKind, questions: Sequence[Question], batch_size: int
    ) -> None:
        self.name = name
        self.kind = kind
        self.questions = questions
        self.num_units = len(questions)
        self.digest = digest_of([asdict(question) for question in questions])
        self.batch_size = batch_size

    def supports(self, thinking: Thinking) -> bool:
        """True: every way of thinking can be measured."""
        del thinking
        return True

    @abstractmethod
    def measure(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """As `Task.measure`."""

    @abstractmethod
    def figures(self, record: Record) -> dict[str, float]:
        """What a question adds to each mean; nothing where it was left out."""

    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Means of the figures over the questions that have them, and how many were left out."""
        rows = [found for record in records if (found := self.figures(record))]
        names = rows[0] if rows else {}
        means = {
            name: (bootstrap.share if name in self.shares else bootstrap.mean)(
                [row[name] for row in rows]
            )
            for name in names
        }
        num_left_out = float(sum("left_out" in record for record in records))
        exact = Estimate(value=num_left_out, low=num_left_out, high=num_left_out)
        return {**means, "num_left_out": exact}

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """The first's figures minus the second's, paired, over the questions that have both."""
        pairs = [
            (first, second)
            for record, other in zip(records, others, strict=True)
            if (first := self.figures(record)) and (second := self.figures(other))
        ]
        names = pairs[0][0] if pairs else {}
        return {
            name: bootstrap.mean([first[name] - second[name] for first, second in pairs])
            for name in names
        }


def question_seed(subject: Subject, index: int) -> int:
    """Seed of a question's noise, by the run's seed and the question's index alone."""
    one = torch.ones(1, dtype=torch.int64)
    return int(row_keys(one * subject.seed, one * index, one * _QUESTION_ROLE))
