"""The task of an answer set: its records, and their figures over all questions and by group."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from transformers import PreTrainedTokenizerBase

from qstar_eval.answer_sets import AnswerQuestion, encode_questions, measure_answers
from qstar_eval.bootstrap import Bootstrap, Estimate
from qstar_eval.config import AnswerSetConfig
from qstar_eval.task import EvalTarget, Record, Task, digest_of
from qstar_infer.errors import CheckpointError, NotFiniteError

_BATCHES_PER_CALL = 8
"""Questions of similar length are sought among so many batches."""
_SHARES = ("accuracy_base", "accuracy_mixed", "accuracy_among", "working", "working_tokens")
"""Figures that are 0 or 1 for every question, or can be for every question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFigures:
    """The figures over the questions of one group."""

    group: str
    num_questions: int
    figures: dict[str, Estimate]


class AnswerTask(Task):
    """An example is one question.

    A record is an `AnswerRecord`, with the question's `prompt`, `answer` and `group`.
    """

    def __init__(self, config: AnswerSetConfig, questions: Sequence[AnswerQuestion]) -> None:
        self.name = config.task_name
        self.num_examples = len(questions)
        self.digest = digest_of([asdict(question) for question in questions])
        self.batch_size = config.batch_size * _BATCHES_PER_CALL
        self._questions_at_once = config.batch_size
        self._questions = questions

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Check that a tokenizer can write the questions.

        Raises:
            ConfigError: it cannot; names the question.
        """
        encode_questions(tokenizer, self._questions)

    def measure(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """As `Task.measure`.

        Raises:
            CheckpointError: a loss is not finite.
            ConfigError, RequestError: as `measure_answers`.
        """
        try:
            found = measure_answers(
                target.model,
                self._questions,
                num_thought_tokens=target.mode.num_thought_tokens,
                thoughts=target.mode.kind,
                temperature=target.mode.temperature,
                seed=target.seed,
                thinking=target.mode.thinking,
                batch_size=self._questions_at_once,
                indices=indices,
            )
        except NotFiniteError as error:
            raise CheckpointError(f"{target.label}, {self.name}: {error}.") from error
        return [asdict(record) | self._asked(record.index) for record in found]

    def summarise(self, records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Means over the questions that have the figure; losses are nats per answer.

        `accuracy_among` counts an answer as right that is the most likely among all answers of the
        set. `working` is the share of thoughts that begin like the working, and `working_tokens`
        that of such tokens; both are absent if no question has a working.
        """
        rows = [_figures(record) for record in records]
        names = dict.fromkeys(name for row in rows for name in row)
        return {
            name: _mean(name, [r[name] for r in rows if name in r], bootstrap) for name in names
        }

    def by_group(self, records: Sequence[Record], bootstrap: Bootstrap) -> list[GroupFigures]:
        """The figures of each group; numbers are in order, then texts. Empty without groups."""
        groups: dict[str, list[Record]] = {}
        for record in records:
            if record["group"] is not None:
                groups.setdefault(record["group"], []).append(record)
        return [
            GroupFigures(
                group=group,
                num_questions=len(groups[group]),
                figures=self.summarise(groups[group], bootstrap),
            )
            for group in sorted(groups, key=_order)
        ]

    def compare(
        self, records: Sequence[Record], others: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Mean differences of the figures, over the questions that have them in both."""
        pairs = [
            (_figures(record), _figures(other))
            for record, other in zip(records, others, strict=True)
        ]
        names = dict.fromkeys(name for one, other in pairs for name in one if name in other)
        return {
            name: bootstrap.mean(
                [one[name] - other[name] for one, other in pairs if name in one and name in other]
            )
            for name in names
        }

    def _asked(self, index: int) -> Record:
        question = self._questions[index]
        return {"prompt": question.prompt, "answer": question.answer, "group": question.group}


def _figures(record: Record) -> dict[str, float]:
    base, mixed = float(record["is_base_right"]), float(record["is_mixed_right"])
    figures = {
        "accuracy_base": base,
        "accuracy_mixed": mixed,
        "accuracy_gain": mixed - base,
        "accuracy_among": float(record["is_mixed_right_among"]),
        "loss_base": record["base_loss"],
        "loss_mixed": record["mixed_loss"],
        "mixing_weight": record["mixing_weight"],
    }
    if record["is_working"] is not None:
        figures["working"] = float(record["is_working"])
        figures["working_tokens"] = record["working_share"]
    return figures


def _mean(name: str, values: Sequence[float], bootstrap: Bootstrap) -> Estimate:
    if name in _SHARES and set(values) <= {0.0, 1.0}:
        return bootstrap.share(values)
    return bootstrap.mean(values)


def _order(group: str) -> tuple[bool, float, str]:
    """Whole numbers by size, before all other texts."""
    is_number = group.removeprefix("-").isdecimal()
    return not is_number, float(group) if is_number else 0.0, group
