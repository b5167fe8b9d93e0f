"""Question sets: reads their rows from a jsonl file or the hub, and writes their prompts.

The zero-shot prompts `Q: ...\\nA:` and the list of choices, `(A) bank` on a line each, are those of
the paper's public evaluation (`eval_helpers.py`). `Let's think step by step.` and `Therefore, the
answer (arabic numerals) is` are from its `zero-shotcot-eval.py`, after Kojima et al. 2022 (arXiv
2205.11916). The paper votes on GSM8K only; CommonsenseQA's conclusion is from Kojima et al.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import datasets

from qstar_eval.answers import LETTERS, plain_number
from qstar_eval.config import QuestionKind, QuestionSetConfig
from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.data.sources import explained, local_files, progress_bars
from qstar_train.data.text_files import read_text_file

ANSWER_MARKER = "\nA:"
_STEP_BY_STEP = " Let's think step by step."
_CONCLUSIONS: dict[QuestionKind, str] = {
    "gsm8k": "\nTherefore, the answer (arabic numerals) is",
    "commonsense_qa": f"\nTherefore, among {LETTERS[0]} through {LETTERS[-1]}, the answer is",
}
_SOLUTION_END = "####"
"""In GSM8K, between the worked solution and the answer."""
_HUB_CONFIGS = {"openai/gsm8k": "main", "gsm8k": "main"}
"""The hub has two forms of GSM8K and no default; the other form has Socratic subquestions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with its one right answer."""

    question: str
    answer: str
    """A number as `plain_number` spells it, or one of `LETTERS`."""
    choices: tuple[str, ...] | None = None
    """Five, in the order of `LETTERS`; None if the answer is a number."""


def direct_prompt(question: Question) -> str:
    """The prompt up to and including `A:`; no space after it."""
    lines = [f"Q: {question.question}"]
    if question.choices is not None:
        pairs = zip(LETTERS, question.choices, strict=True)
        lines += [f"({letter}) {choice}" for letter, choice in pairs]
    return "\n".join(lines) + ANSWER_MARKER


def chain_prompt(question: Question) -> str:
    """The prompt that asks for a chain of thought."""
    return direct_prompt(question) + _STEP_BY_STEP


def conclusion_prompt(question: Question, chain: str, kind: QuestionKind) -> str:
    """The prompt that asks for a short answer after a chain of thought."""
    return (chain_prompt(question) + chain).rstrip() + _CONCLUSIONS[kind]


def read_questions(config: QuestionSetConfig) -> list[Question]:
    """Read the questions of a set, in the source's order, up to `max_questions`.

    Rows of gsm8k are `{"question", "answer"}`; the answer is a number, or a worked solution that
    ends in `#### N` (`openai/gsm8k`). Rows of commonsense_qa are `{"question", "choices",
    "answer"}` with five choices and a letter, or `{"question", "choices": {"label", "text"},
    "answerKey"}` (`tau/commonsense_qa`). Other keys are ignored.

    Raises:
        ConfigError: the source cannot be read or holds no rows, or a row is malformed. Names the
            row, counted from 1.
    """
    files = local_files(config.path)
    rows = _hub_rows(config) if files is None else _local_rows(config.path, files)
    questions = list(_parse(islice(rows, config.max_questions), config))
    if not questions:
        raise ConfigError(f"{config.path} holds no questions. Give a file with at least one row.")
    return questions


def _local_rows(path: str, files: list[Path]) -> Iterator[dict[str, Any]]:
    if len(files) != 1 or files[0].suffix != ".jsonl":
        raise ConfigError(f"{path}: questions are read from one .jsonl file. Give that file.")
    lines = read_text_file(files[0]).split("\n")
    if not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}, row {number} is not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise ConfigError(
                f"{path}, row {number} is a {type(row).__name__}. Write an object with question "
                "and answer."
            )
        yield row


def _hub_rows(config: QuestionSetConfig) -> Iterator[dict[str, Any]]:
    name = _HUB_CONFIGS.get(config.path)
    source = SourceConfig(path=config.path, config=name, split=config.split)
    with explained(source), progress_bars():
        yield from datasets.load_dataset(config.path, name, split=config.split)


class _RowError(Exception):
    """What is wrong with a row; the caller adds the row's number."""


def _parse(rows: Iterable[Mapping[str, Any]], config: QuestionSetConfig) -> Iterator[Question]:
    parse = {"gsm8k": _number_question, "commonsense_qa": _choice_question}[config.kind]
    for number, row in enumerate(rows, start=1):
        try:
            yield parse(row)
        except _RowError as error:
            raise ConfigError(f"{config.path}, row {number}: {error}") from None


def _number_question(row: Mapping[str, Any]) -> Question:
    answer = row.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    number = plain_number(answer.rpartition(_SOLUTION_END)[2]) if isinstance(answer, str) else None
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
    """Check that tokenizers accept a text: JSON can hold a lone surrogate, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _RowError(
            f"{key} holds {text[error.start]!r}, which is half a character. Take it out, or write "
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
    """A value's repr, cut to fit one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
