"""Question sets: reads their rows from a jsonl file or the hub, and writes their prompts.

The zero-shot prompts `Q: ...\\nA:` and the list of choices, `(A) bank` on a line each, are those of
the paper's public evaluation (`eval_helpers.py`). `Let's think step by step.` and `Therefore, the
answer (arabic numerals) is` are from its `zero-shotcot-eval.py`, after Kojima et al. 2022 (arXiv
2205.11916). The paper votes on GSM8K only; CommonsenseQA's conclusion is from Kojima et al.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeGuard

import datasets

from qstar_eval.answers import LETTERS, plain_number
from qstar_eval.config import QuestionKind, QuestionSetConfig
from qstar_eval.question_rows import RowError, encodable, local_rows, parsed, shown, text_at
from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.data.sources import explained, local_files, progress_bars

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
    rows = _hub_rows(config) if files is None else local_rows(config.path, files)
    questions = list(_parse(islice(rows, config.max_questions), config))
    if not questions:
        raise ConfigError(f"{config.path} holds no questions. Give a file with at least one row.")
    return questions


def _hub_rows(config: QuestionSetConfig) -> Iterator[dict[str, Any]]:
    name = _HUB_CONFIGS.get(config.path)
    source = SourceConfig(path=config.path, config=name, split=config.split)
    with explained(source), progress_bars():
        yield from datasets.load_dataset(config.path, name, split=config.split)


def _parse(rows: Iterable[Mapping[str, Any]], config: QuestionSetConfig) -> Iterator[Question]:
    parse = {"gsm8k": _number_question, "commonsense_qa": _choice_question}[config.kind]
    return parsed(rows, parse, config.path)


def _number_question(row: Mapping[str, Any]) -> Question:
    answer = row.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    number = plain_number(answer.rpartition(_SOLUTION_END)[2]) if isinstance(answer, str) else None
    if number is None:
        raise RowError(
            f"answer must be a number, or a solution that ends in `{_SOLUTION_END} 18`, "
            f"got {shown(answer)}."
        )
    return Question(question=text_at(row, "question"), answer=number)


def _choice_question(row: Mapping[str, Any]) -> Question:
    key = "answer" if "answer" in row else "answerKey"
    answer = row.get(key)
    if not isinstance(answer, str) or len(answer) != 1 or answer not in LETTERS:
        raise RowError(
            f"{key} must be one of {', '.join(LETTERS)}, got {shown(answer)}. "
            "(A test split without answers cannot be measured: take validation.)"
        )
    return Question(question=text_at(row, "question"), answer=answer, choices=_choices(row))


def _choices(row: Mapping[str, Any]) -> tuple[str, ...]:
    choices = row.get("choices")
    if isinstance(choices, Mapping):
        labels, choices = choices.get("label"), choices.get("text")
        if _is_texts(labels) and list(labels) != list(LETTERS):
            raise RowError(f"choices.label must be {list(LETTERS)}, got {shown(labels)}.")
    if not _is_texts(choices) or len(choices) != len(LETTERS):
        raise RowError(f"choices must be {len(LETTERS)} texts, got {shown(choices)}.")
    return tuple(encodable(text, f"choices[{place}]") for place, text in enumerate(choices))


def _is_texts(value: Any) -> TypeGuard[Sequence[str]]:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, str) and item.strip() for item in value)
    )
