"""Question sets are read in our format and the hub's; errors name the row."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qstar_eval.config import EvalConfig, QuestionKind, QuestionSetConfig
from qstar_eval.generation import SEQUENCES_PER_CALL
from qstar_eval.questions import Question, read_questions
from qstar_eval.runner import make_tasks
from qstar_infer.errors import ConfigError

CHOICES = ["bank", "library", "department store", "mall", "new york"]


def write_rows(directory: Path, *rows: object) -> str:
    path = directory / "questions.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def read(kind: QuestionKind, path: str, **settings: Any) -> list[Question]:
    return read_questions(QuestionSetConfig(name="set", kind=kind, path=path, **settings))


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("18", "18"),
        (18, "18"),
        (2.5, "2.5"),
        ("-3", "-3"),
        ("$1,000.50", "1000.5"),
        ("16 - 3 = <<16-3=13>>13\n#### 70,000", "70000"),
    ],
)
def test_gsm8k_rows(tmp_path: Path, written: object, answer: str) -> None:
    path = write_rows(tmp_path, {"question": "How many?", "answer": written, "solution": "so"})
    assert read("gsm8k", path) == [Question(question="How many?", answer=answer)]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Where?", "choices": CHOICES, "answer": "B"},
        {
            "question": "Where?",
            "choices": {"label": list("ABCDE"), "text": CHOICES},
            "answerKey": "B",
            "question_concept": "place",
        },
    ],
    ids=["ours", "hub"],
)
def test_commonsense_qa_rows(tmp_path: Path, row: dict[str, Any]) -> None:
    assert read("commonsense_qa", write_rows(tmp_path, row)) == [
        Question(question="Where?", answer="B", choices=tuple(CHOICES))
    ]


GOOD: dict[QuestionKind, dict[str, Any]] = {
    "gsm8k": {"question": "How many?", "answer": "1"},
    "commonsense_qa": {"question": "Where?", "choices": CHOICES, "answer": "A"},
}


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("gsm8k", {"answer": "many"}, r"row 2: answer .* got 'many'"),
        ("gsm8k", {"answer": "It is 5. #### five"}, r"row 2: answer .* `#### 18`"),
        ("gsm8k", {"answer": None}, r"row 2: answer .* got None"),
        ("gsm8k", {"answer": True}, r"row 2: answer .* got True"),
        ("gsm8k", {"question": "  "}, r"row 2: question .* got '  '"),
        ("gsm8k", {"question": "a\ud800b"}, r"row 2: question holds '\\ud800', .* Take it out"),
        (
            "commonsense_qa",
            {"choices": [*CHOICES[:4], "\udfff"]},
            r"row 2: choices\[4\] holds '\\udfff'",
        ),
        ("commonsense_qa", {"choices": CHOICES[:4]}, r"row 2: choices must be 5 texts"),
        ("commonsense_qa", {"choices": [*CHOICES[:4], ""]}, r"row 2: choices must be 5 texts"),
        ("commonsense_qa", {"choices": "abcde"}, r"row 2: choices must be 5 texts"),
        ("commonsense_qa", {"answer": "F"}, r"row 2: answer must be one of A, B, C, D, E, got 'F'"),
        ("commonsense_qa", {"answer": ""}, r"row 2: answer .* take validation"),
        (
            "commonsense_qa",
            {"choices": {"label": list("12345"), "text": CHOICES}},
            r"row 2: choices\.label must be \['A', .* got \['1'",
        ),
    ],
)
def test_a_malformed_row_is_named(
    tmp_path: Path, kind: QuestionKind, changes: dict[str, Any], says: str
) -> None:
    path = write_rows(tmp_path, GOOD[kind], GOOD[kind] | changes)
    with pytest.raises(ConfigError, match=says):
        read(kind, path)


def test_the_hub_hides_answers_of_its_test_split(tmp_path: Path) -> None:
    row = {"question": "Where?", "choices": CHOICES, "answerKey": ""}
    with pytest.raises(ConfigError, match=r"answerKey must .* got ''.* take validation"):
        read("commonsense_qa", write_rows(tmp_path, row))


def test_rows_beyond_the_first_are_not_read(tmp_path: Path) -> None:
    path = write_rows(tmp_path, GOOD["gsm8k"], GOOD["gsm8k"], {"question": "Malformed"})
    assert len(read("gsm8k", path, max_questions=2)) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no questions"),
        ('{"question": "How many?", "answer": "1"}\n{"question"', "row 2 is not JSON"),
        ("[1]\n", "row 1 is a list. Write an object"),
    ],
)
def test_files_that_are_no_question_sets(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        read("gsm8k", str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.jsonl does not exist"):
        read("gsm8k", str(tmp_path / "gone.jsonl"))


def test_only_jsonl_is_read(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_text("Q", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"one \.jsonl file"):
        read("gsm8k", str(tmp_path / "set.txt"))


def test_the_hub_is_asked_for_the_plain_form_of_gsm8k(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def load_dataset(path: str, name: str | None, *, split: str) -> Iterator[dict[str, Any]]:
        asked.append((path, name, split))
        return iter([GOOD["gsm8k"], {"question": "?", "answer": "no number"}])

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(ConfigError, match="openai/gsm8k, row 2"):
        read("gsm8k", "openai/gsm8k", split="test")
    assert asked == [("openai/gsm8k", "main", "test")]


def test_the_hub_out_of_reach_is_one_error() -> None:
    with pytest.raises(ConfigError, match="cannot be read from the hub"):
        read("commonsense_qa", "nobody/no_such_set")


def test_a_task_for_each_measure(tmp_path: Path) -> None:
    settings = QuestionSetConfig(
        name="gsm",
        kind="gsm8k",
        path=write_rows(tmp_path, GOOD["gsm8k"], GOOD["gsm8k"]),
        measures=["majority", "probability", "exact_match"],
    )
    tasks = make_tasks(EvalConfig(questions=[settings], batch_size=3))
    assert [task.name for task in tasks] == ["gsm-majority", "gsm-probability", "gsm-exact_match"]
    assert [task.num_examples for task in tasks] == [2, 2, 2]
    num_samples, at_once = settings.num_samples, [task.batch_size for task in tasks]
    assert at_once == [SEQUENCES_PER_CALL // num_samples, 3, SEQUENCES_PER_CALL]
