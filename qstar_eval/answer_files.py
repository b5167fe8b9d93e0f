"""Reads answer sets: one's own questions, from a jsonl file."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from qstar_eval.answer_sets import AnswerQuestion
from qstar_eval.config import AnswerSetConfig
from qstar_eval.question_rows import RowError, encodable, local_rows, parsed, shown
from qstar_infer.errors import ConfigError
from qstar_train.data.sources import local_files


def read_answer_set(config: AnswerSetConfig) -> list[AnswerQuestion]:
    """Read the questions of a set, in the file's order, up to `max_questions`.

    Other keys than those that the config names are ignored.

    Raises:
        ConfigError: the file cannot be read or holds no rows, or a row is malformed. Names the
            row, counted from 1.
    """
    files = local_files(config.path)
    if files is None:
        raise ConfigError(f"{config.path} does not exist. Answers are read from a .jsonl file.")

    def parse(row: Mapping[str, Any]) -> AnswerQuestion:
        return AnswerQuestion(
            prompt=_text(row, config.prompt_field),
            answer=_text(row, config.answer_field),
            group=None if config.group_field is None else _text(row, config.group_field),
            working=_working(row, config.working_field),
        )

    rows = islice(local_rows(config.path, files), config.max_questions)
    questions = list(parsed(rows, parse, config.path))
    if not questions:
        raise ConfigError(f"{config.path} holds no questions. Give a file with at least one row.")
    return questions


def _text(row: Mapping[str, Any], key: str) -> str:
    """A text that is not empty, which may be written as a whole number."""
    if key not in row:
        raise RowError(f"{key} is missing; the row has {', '.join(map(repr, row)) or 'no keys'}.")
    value = row[key]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise RowError(
            f"{key} must be a text that is not empty, or a whole number, got {shown(value)}."
        )
    return encodable(value, key)


def _working(row: Mapping[str, Any], key: str | None) -> str | None:
    if key is None or (key in row and row[key] is None):
        return None
    return _text(row, key)
