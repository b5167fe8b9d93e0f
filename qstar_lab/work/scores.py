"""Measures the answers of one model to held-out questions, in several modes of thinking."""

from collections.abc import Sequence
from typing import Any, cast, get_args

from qstar_eval.answer_sets import AnswerQuestion, AnswerRecord, measure_answers
from qstar_eval.config import ThoughtKind
from qstar_infer.checkpoint import load_model
from qstar_infer.thinking_rule import EVERYWHERE
from qstar_lab.work.files import BOOTSTRAP, as_list, read_questions, share, write_result


def measure_scores(
    *, result: str, checkpoint: str, questions: str, modes: Sequence[tuple[str, int]], seed: int
) -> None:
    """Write accuracy and nats of the answers, for all questions and by their size.

    The model thinks behind each question, even if its gate would not: what a thought is worth
    there is the question.

    Args:
        modes: kind and length of the thoughts; `none` with length 0.
        seed: of sampled and random thoughts.
    """
    model = load_model(checkpoint, dtype="float32", device="cpu")
    asked = read_questions(questions)
    scores = []
    for kind, length in modes:
        assert kind == "none" or kind in get_args(ThoughtKind), kind
        records = measure_answers(
            model,
            asked,
            num_thought_tokens=length,
            thoughts="sampled" if kind == "none" else cast(ThoughtKind, kind),
            seed=seed,
            thinking=EVERYWHERE,
        )
        scores.append({"kind": kind, "length": length, **_score(asked, records)})
    write_result(result, {"scores": scores})


def _score(asked: Sequence[AnswerQuestion], records: Sequence[AnswerRecord]) -> dict[str, Any]:
    right = [record.is_mixed_right for record in records]
    by_size: dict[str, list[bool]] = {}
    for question, is_right in zip(asked, right, strict=True):
        by_size.setdefault(str(question.group), []).append(is_right)
    return {
        "accuracy": share(right),
        "nats": as_list(BOOTSTRAP.mean([record.mixed_loss for record in records])),
        "by_size": {size: share(by_size[size]) for size in sorted(by_size, key=int)},
    }
