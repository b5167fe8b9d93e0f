"""Rows of a question set: a local jsonl file, or the hub. Knows nothing of what a row must hold."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets

from qstar_eval.config import QuestionSetSettings
from qstar_eval.questions import Question, parse_questions
from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig as SourceSettings
from qstar_train.data.sources import explained, local_files, progress_bars

_HUB_CONFIGS = {"openai/gsm8k": "main", "gsm8k": "main"}
"""The hub has GSM8K in two forms and no default; the other has Socratic subquestions."""


def read_questions(settings: QuestionSetSettings) -> list[Question]:
    """The questions of a set, in the source's order, up to `max_questions`.

    Raises:
        ConfigError: the source cannot be read, holds no rows, or a row is malformed; names the row,
            counted from 1.
    """
    files = local_files(settings.path)
    rows = _hub_rows(settings) if files is None else _local_rows(settings.path, files)
    first = islice(rows, settings.max_questions)
    questions = parse_questions(first, settings.kind, source=settings.path)
    if not questions:
        raise ConfigError(f"{settings.path} holds no questions; give a file with rows in it.")
    return questions


def _local_rows(path: str, files: list[Path]) -> Iterator[dict[str, Any]]:
    if len(files) != 1 or files[0].suffix != ".jsonl":
        raise ConfigError(f"{path}: questions are read from one .jsonl file; give that.")
    try:
        lines = files[0].read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Give a jsonl file.") from error
    if not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}, row {number} is not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise ConfigError(
                f"{path}, row {number} is a {type(row).__name__}; write an object with question "
                "and answer."
            )
        yield row


def _hub_rows(settings: QuestionSetSettings) -> Iterator[dict[str, Any]]:
    config = _HUB_CONFIGS.get(settings.path)
    source = SourceSettings(path=settings.path, config=config, split=settings.split)
    with explained(source), progress_bars():
        yield from datasets.load_dataset(settings.path, config, split=settings.split)
