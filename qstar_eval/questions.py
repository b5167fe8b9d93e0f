"""Question sets: rows of the hub's format or of ours, to `Question`s. Knows no model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from qstar_eval.numerals import plain_number
from qstar_infer.errors import ConfigError

QuestionKind = Literal["gsm8k", "commonsense_qa"]

LETTERS = "ABCDE"
"""Of CommonsenseQA's five choices."""

_SOLUTION_END = "####"
"""In GSM8K, between the worked solution and the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its one right answer."""

    question: str
    answer: str
    """A number in the one spelling of `plain_number`, or a letter of `LETTERS`."""
    choices: tuple[str, ...] | None = None
    """Five, in the order of `LETTERS`; None where the answer is a number."""


def parse_questions(
    rows: Iterable[Mapping[str, Any]], kind: QuestionKind, *, source: str
) -> list[Question]:
    """Read rows.

    Args:
        rows: for gsm8k `{"question", "answer"}`, where the answer is a number, or a worked
            solution that ends in `#### N` (`openai/gsm8k`). For commonsense_qa
            `{"question", "choices", "answer"}`, five choices and a letter, or
            `{"question", "choices": {"label", "text"}, "answerKey"}` (`tau/commonsense_qa`).
            Further keys are ignored.
        source: how errors name the rows.

    Raises:
        ConfigError: a row is malformed; names its number, from 1.
    """
    parse = {"gsm8k": _number_question, "commonsense_qa": _choice_question}[kind]
    questions = []
    for number, row in enumerate(rows, start=1):
        try:
            questions.append(parse(row))
        except _RowError as error:
            raise ConfigError(f"{source}, row {number}: {error}") from None
    return questions


class _RowError(Exception):
    """What is wrong with a row, before its number is known."""


def _number_question(row: Mapping[str, Any]) -> Question:
    answer = row.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str):
        raise _RowError(f"answer must be a number or a solution, got {_shown(answer)}.")
    number = plain_number(answer.rpartition(_SOLUTION_END)[2])
    if number is None:
        raise _RowError(
            f"answer must be a number, or a solution that ends in `{_SOLUTION_END} 18`, "
            f"got {_shown(answer)}."
        )
    return Question(question=_text(row, "question"), answer=number)


def _choice_question(row: Mapping[str, Any]) -> Question:
    key = "answer" if "answer" in row else "answerKey"
    answer = row.get(key)
    if not isinstance(answer, str) or len(answer) != 1 or answer not in LETTERS:
        raise _RowError(
            f"{key} must be one of {', '.join(LETTERS)}, got {_shown(answer)}. "
            "(A test split without answers cannot be measured: take validation.)"
        )
    return Question(question=_text(row, "question"), answer=answer, choices=_choices(row))


def _choices(row: Mapping[str, Any]) -> tuple[str, ...]:
    choices = row.get("choices")
    if isinstance(choices, Mapping):
        labels, choices = choices.get("label"), choices.get("text")
        if _is_texts(labels) and list(labels) != list(LETTERS):
            raise _RowError(f"choices.label must be {list(LETTERS)}, got {_shown(labels)}.")
    if not _is_texts(choices) or len(choices) != len(LETTERS):
        raise _RowError(f"choices must be {len(LETTERS)} texts, got {_shown(choices)}.")
    return tuple(_encodable(text, f"choices[{place}]") for place, text in enumerate(choices))


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _RowError(f"{key} must be a text that is not empty, got {_shown(value)}.")
    return _encodable(value, key)


def _encodable(text: str, key: str) -> str:
    """A text that tokenizers take: JSON can hold half a surrogate pair, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _RowError(
            f"{key} holds {text[error.start]!r}, which is half a character; take it out, or write "
            "the whole character."
        ) from None
    return text


def _is_texts(value: Any) -> TypeGuard[Sequence[str]]:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, str) and item.strip() for item in value)
    )


def _shown(value: object) -> str:
    """Short enough for one line: rows come from anywhere."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
