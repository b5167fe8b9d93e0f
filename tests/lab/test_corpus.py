"""The corpus: what its files hold, that they are apart, and that they can be made again."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from qstar_lab.corpus import questions, write_corpus
from qstar_lab.tasks.registry import TASKS
from qstar_lab.tasks.task import Task

from .reference import solve

BOTH = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
FILES = ("visible", "direct", "test", "test_visible")


def write(task: Task, directory: Path, *, seed: int = 0, num_direct: int = 200) -> None:
    write_corpus(task, directory, seed=seed, num_visible=100, num_direct=num_direct, num_test=50)


def rows_of(directory: Path, name: str) -> list[dict[str, Any]]:
    lines = (directory / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    return [json.loads(line) for line in lines]


def digests(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
    }


@BOTH
def test_rows_are_documents_with_right_answers(task: Task, tmp_path: Path) -> None:
    write(task, tmp_path)
    assert {name: len(rows_of(tmp_path, name)) for name in FILES} == {
        "visible": 100,
        "direct": 200,
        "test": 50,
        "test_visible": 50,
    }
    for name in FILES:
        for row in rows_of(tmp_path, name):
            prompt, mark, rest = row["text"].partition("?")
            steps = solve(task.name, prompt + mark)
            working = "".join(steps) + steps[-1] * (task.max_size - len(steps))
            if "visible" in name:
                shown, _, rest = rest.removeprefix(">").partition("=")
                assert shown
                assert working.startswith(shown)
            assert rest == steps[-1]
            assert row["size"] == len(steps)
            parts = {"prompt": prompt + mark, "working": working, "answer": steps[-1]}
            held_out = parts if "test" in name else {}
            assert row == {"text": row["text"], "size": len(steps)} | held_out


@BOTH
def test_the_number_of_steps_shown_covers_all(task: Task, tmp_path: Path) -> None:
    write_corpus(task, tmp_path, seed=0, num_visible=1_000, num_direct=1, num_test=1)
    shown = {len(row["text"].partition(">")[2]) - 2 for row in rows_of(tmp_path, "visible")}
    assert shown == set(range(1, task.max_size + 1))


def test_no_question_is_in_training_and_test(tmp_path: Path) -> None:
    """With digit chains, whose short questions are few, so that a leak would show."""
    write_corpus(
        TASKS["digit_chains"], tmp_path, seed=0, num_visible=3_000, num_direct=3_000, num_test=500
    )
    asked = {
        name: {row["text"].partition("?")[0] for row in rows_of(tmp_path, name)} for name in FILES
    }
    training = asked["visible"] | asked["direct"]
    assert asked["visible"] & asked["direct"]
    assert not training & (asked["test"] | asked["test_visible"])
    of_questions = questions(TASKS["digit_chains"], count=500, seed=0)
    assert not training & {question["prompt"].rstrip("?") for question in of_questions}


@BOTH
def test_the_seed_decides_every_byte(task: Task, tmp_path: Path) -> None:
    write(task, tmp_path / "a")
    write(task, tmp_path / "b")
    write(task, tmp_path / "c", seed=1)
    write(task, tmp_path / "d", num_direct=20)
    first = digests(tmp_path / "a")
    assert set(first) == {f"{name}.jsonl" for name in FILES}
    assert digests(tmp_path / "b") == first
    assert not set(digests(tmp_path / "c").values()) & set(first.values())
    changed = {name for name, digest in digests(tmp_path / "d").items() if digest != first[name]}
    assert changed == {"direct.jsonl"}  # how long one file is changes no other


def test_the_corpus_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """A recorded row: published figures belong to one corpus."""
    write(TASKS["digit_chains"], tmp_path)
    assert rows_of(tmp_path, "test")[0]["text"] == "5+4-3-3+4-4*4*4*2*3-3*5.....?4"


@BOTH
def test_questions_are_held_out_and_right(task: Task) -> None:
    found = list(questions(task, count=40, seed=5))
    assert found == list(questions(task, count=40, seed=5))
    assert found[:7] == list(questions(task, count=7, seed=5))
    assert found != list(questions(task, count=40, seed=6))
    for question in found:
        assert question.keys() == {"prompt", "answer"}
        assert question["answer"] == solve(task.name, question["prompt"])[-1]
        digest = hashlib.sha256(question["prompt"].encode()).hexdigest()
        assert int(digest[:16], 16) / 16**16 < 0.1
