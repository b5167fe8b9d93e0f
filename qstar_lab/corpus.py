"""Writes the text of a task: for training with working and without, and held-out questions."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from qstar_lab.tasks.task import Problem, Task, direct_text, visible_text


def write_corpus(
    task: Task,
    directory: Path,
    *,
    seed: int,
    num_visible: int = 100_000,
    num_direct: int = 200_000,
    num_test: int = 2_000,
) -> None:
    """Write four files of JSON lines; the same arguments give the same bytes.

    `visible.jsonl` has documents with working, cut after a random number of steps; `direct.jsonl`
    has documents without. Their rows are `{"text", "size"}`. `test.jsonl` and `test_visible.jsonl`
    are the same with held-out questions; their rows have `prompt`, `answer` and the whole
    `working` too. Questions of few steps occur more than once if a task has few of them.

    Args:
        directory: created if it does not exist. Files of these names are replaced.
        num_visible, num_direct, num_test: documents in each file; `num_test` is for both.
    """
    directory.mkdir(parents=True, exist_ok=True)

    def write(name: str, count: int, *, visible: bool, held_out: bool) -> None:
        random = Random(f"{task.name} {name} {seed}")
        rows = _rows(task, random, count, visible=visible, held_out=held_out)
        write_lines(directory / f"{name}.jsonl", rows)

    write("visible", num_visible, visible=True, held_out=False)
    write("direct", num_direct, visible=False, held_out=False)
    write("test", num_test, visible=False, held_out=True)
    write("test_visible", num_test, visible=True, held_out=True)


def questions(task: Task, *, count: int, seed: int) -> Iterator[dict[str, str]]:
    """Held-out questions, `{"prompt", "answer"}`."""
    random = Random(f"{task.name} questions {seed}")
    for _ in range(count):
        problem = task.draw(random, held_out=True)
        yield {"prompt": problem.prompt, "answer": problem.answer}


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines, in ASCII, completely or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    temporary.replace(path)


def _rows(
    task: Task, random: Random, count: int, *, visible: bool, held_out: bool
) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        problem = task.draw(random, held_out=held_out)
        if visible:
            text = visible_text(task, problem, random.randint(1, task.max_size))
        else:
            text = direct_text(problem)
        row = {"text": text, "size": problem.size}
        yield row | _parts(problem) if held_out else row


def _parts(problem: Problem) -> dict[str, str]:
    return {
        "prompt": problem.prompt,
        "working": "".join(problem.working),
        "answer": problem.answer,
    }
