"""Questions with one right answer each: the paper's measure, exact match, and maj@k."""

from typing import TypedDict

from qstar_eval.config import Measure, QuestionSetSettings
from qstar_eval.files import read_questions
from qstar_eval.generation import ExactMatchTask
from qstar_eval.majority import MajorityTask
from qstar_eval.probability import ProbabilityTask
from qstar_eval.question_task import QuestionTask
from qstar_eval.questions import Question, QuestionKind

__all__ = ["QuestionTask", "question_tasks"]


def question_tasks(settings: QuestionSetSettings, *, batch_size: int) -> list[QuestionTask]:
    """The tasks of one question set, named `<name>-<measure>`, in the order of `measures`.

    The tasks that generate text do not support thoughts of random tokens. No tokenizer is needed
    here: questions are encoded as they are measured, with their subject's.

    Args:
        batch_size: questions at once for `probability`. How many the engine is handed at once does
            not depend on it.

    Raises:
        ConfigError: the questions cannot be read.
    """
    questions = read_questions(settings)
    return [
        _task(settings, measure, questions, batch_size=batch_size) for measure in settings.measures
    ]


def _task(
    settings: QuestionSetSettings,
    measure: Measure,
    questions: list[Question],
    *,
    batch_size: int,
) -> QuestionTask:
    common: _Common = {
        "name": f"{settings.name}-{measure}",
        "kind": settings.kind,
        "questions": questions,
    }
    if measure == "probability":
        return ProbabilityTask(**common, batch_size=batch_size)
    if measure == "exact_match":
        return ExactMatchTask(**common, max_new_tokens=settings.max_new_tokens)
    return MajorityTask(
        **common,
        num_samples=settings.num_samples,
        temperature=settings.sample_temperature,
        max_new_tokens=settings.max_new_tokens,
    )


class _Common(TypedDict):
    """What every task is made of."""

    name: str
    kind: QuestionKind
    questions: list[Question]
